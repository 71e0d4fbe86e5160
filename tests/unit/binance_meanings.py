"""What every code and text that Binance documents says of a new order, as the tests expect it."""

from __future__ import annotations

from sor_core.domain.trading import RejectReason, UnknownWhy

R, U = RejectReason, UnknownWhy

# What every documented code says of a new order: a definite no and why, or that nobody knows.
CODES: dict[RejectReason | UnknownWhy, list[int]] = {
    U.VENUE_UNSURE: [-1000, -1001, -1006, -1007, -1016],
    R.AUTH: [-1002, -1022, -2014, -2015],
    R.RATE_LIMITED: [-1003, -1015, -1034],
    R.OVERLOADED: [-1008],
    R.TIMESTAMP: [-1021],
    R.NO_LIQUIDITY: [-1112],
    R.UNKNOWN_SYMBOL: [-1121],
    # Without one of their documented texts.
    R.INVALID_REQUEST: [
        -1014,
        -1020,
        *(-1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1111),
        *(-1114, -1115, -1116, -1117, -1118, -1119, -1120, -1122, -1125, -1127, -1128),
        *(-1130, -1134, -1135, -1139, -1145, -1151, -1152, -1153, -1155, -1158),
        *(-1160, -1161, -1165, -1166, -1168, -1169, -1170, -1171, -1172, -1173, -1174, -1175),
        *(-1176, -1177, -1178, -1179, -1180, -1181, -1182, -1183, -1184, -1185, -1186, -1187),
        *(-1188, -1189, -1190, -1191, -1194, -1196, -1197, -1198, -1199),
    ],
    R.OTHER: [-1013, -2010],
    # Of sessions of another protocol, of questions, of streams: no answer to an order.
    U.UNEXPECTED_CODE: [
        *(-1033, -1035, -1210, -1211, -1220, -1221, -1222, -1223, -1224, -1225),
        *(-2011, -2013, -2016, -2026, -2035, -2036, -2039, -2042, -2043),
    ],
}
TEXTS: dict[RejectReason | UnknownWhy, list[str]] = {
    R.DUPLICATE_ID: ["Duplicate order sent."],
    R.OTHER: ["Filter failure: PERCENT_PRICE", "Order would trigger immediately."],
    R.HALTED: [
        "Market is closed.",
        "Rest API trading is not enabled.",
        "WebSocket API trading is not enabled.",
        "FIX API trading is not enabled.",
    ],
    R.INSUFFICIENT_BALANCE: ["Account has insufficient balance for requested action."],
    R.POST_ONLY_WOULD_CROSS: ["Order would immediately match and take."],
    R.FILTER_NOTIONAL: [
        "Price * QTY is zero or less.",
        "Filter failure: MIN_NOTIONAL",
        "Filter failure: NOTIONAL",
    ],
    R.FILTER_PRICE: ["Filter failure: PRICE_FILTER"],
    R.FILTER_SIZE: ["Filter failure: LOT_SIZE", "Filter failure: MARKET_LOT_SIZE"],
    R.TOO_MANY_ORDERS: [
        f"Filter failure: {name}"
        for name in (
            "MAX_POSITION",
            "MAX_NUM_ORDERS",
            "MAX_NUM_ALGO_ORDERS",
            "MAX_NUM_ICEBERG_ORDERS",
            "MAX_NUM_ORDER_AMENDS",
            "MAX_NUM_ORDER_LISTS",
            "EXCHANGE_MAX_NUM_ORDERS",
            "EXCHANGE_MAX_NUM_ALGO_ORDERS",
            "EXCHANGE_MAX_NUM_ICEBERG_ORDERS",
            "EXCHANGE_MAX_NUM_ORDER_LISTS",
        )
    ],
    R.PERMISSION: [
        "This action is disabled on this account.",
        "This account may not place or cancel orders.",
        "This symbol is not permitted for this account.",
        "This symbol is restricted for this account.",
    ],
    R.NO_LIQUIDITY: [
        "Order book liquidity is less than `LOT_SIZE` filter minimum quantity.",
        "Order book liquidity is less than `MARKET_LOT_SIZE` filter minimum quantity.",
        "Order book liquidity is less than symbol minimum quantity.",
        "Order book liquidity is too low for this pegged order.",
    ],
    R.INVALID_REQUEST: [
        "Market orders are not supported for this symbol.",
        "Iceberg orders are not supported for this symbol.",
        "Stop loss orders are not supported for this symbol.",
        "Stop loss limit orders are not supported for this symbol.",
        "Take profit orders are not supported for this symbol.",
        "Take profit limit orders are not supported for this symbol.",
        "Trailing stop orders are not supported for this symbol.",
        "Quote order qty market orders are not support for this symbol.",
        "OCO orders are not supported for this symbol",
        "OPO orders are not supported for this symbol.",
        "Pegged orders are not supported for this symbol.",
        "This order type may not use pegged price.",
        "This price peg cannot be used with this order type.",
        "IcebergQty exceeds QTY.",
        "Unsupported order combination",
        "The relationship of the prices for the orders is not correct.",
        "Filter failure: ICEBERG_PARTS",
        "Filter failure: TRAILING_DELTA",
    ],
    U.UNEXPECTED_CODE: [
        "Unknown order sent.",
        "Cancel order is invalid. Check origClOrdId and orderId.",
        "Order was not canceled due to cancel restrictions.",
        "Order cancel-replace is not supported for this symbol.",
        "Order amend is not supported for this symbol.",
        "Order amend (quantity increase) is not supported.",
        "Order amend (pending OPO order) is not supported.",
        "The requested action would change no state; rejecting.",
    ],
}
