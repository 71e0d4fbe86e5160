"""Whatever is asked of the simulated venues, they answer in their own words and never fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from itertools import count
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from local.venues import ManualClock, VenuesConfig
from local.venues.credentials import KeyName
from local.venues.markets import Venue
from local.venues.simulation import DIALECTS, Simulation
from local.venues.web import ApiReply, ApiRequest, Route
from tests.contract.simulated_venues import coinbase_token

CLOCK = ManualClock()
NONCES = count(1)
SIMULATION = Simulation(VenuesConfig(rate_limits=False, clock=CLOCK))

# fmt: off
NAMES = [
    "symbol", "symbols", "limit", "type", "side", "timeInForce", "quantity", "quoteOrderQty", "price",
    "newClientOrderId", "orderId", "origClientOrderId", "startTime", "endTime", "fromId", "recvWindow",
    "symbolStatus", "newOrderRespType", "product_id", "product_ids", "cursor", "start_date", "end_date",
    "order_ids", "order_status", "aggregation_price_increment", "pair", "count", "info", "asset",
    "ordertype", "volume", "oflags", "timeinforce", "cl_ord_id", "userref", "txid", "deadline",
    "expiretm", "stptype", "start", "end", "ofs", "closetime", "timeout", "nonce",
    "order_configuration", "sor_limit_ioc", "client_order_id", "base_size", "limit_price",
]
WORDS = [
    "BTCUSDT", "BTC-USD", "XBTUSD", "BUY", "SELL", "buy", "sell", "LIMIT", "MARKET", "limit", "market",
    "GTC", "IOC", "GTD", "0", "1", "-1", "0.5", "61800", "1e400", "NaN", "inf",
    "99999999999999999999999", "true", "[]", '["BTCUSDT"]', "post", "fcib,viqc", "+5",
    "2024-08-08T00:00:00Z", "5000", ",,", "é", "",
]
# fmt: on
VALUES = st.sampled_from(WORDS) | st.text(max_size=8)
PARAMETERS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=8,
)
ROUTES = [
    (venue, route, method) for venue in Venue for route in DIALECTS[venue].routes for method in route.methods
]


def answered(venue: Venue, route: Route, method: str, query: str, body: str) -> ApiReply:
    path = route.template.format(product_id="BTC-USD", order_id="nothing", account_uuid="nothing")
    key = SIMULATION.exchanges[venue].keyring.by_name[KeyName.TRADING]
    headers = {"host": "api.test"}
    if venue is Venue.BINANCE and route.permission is not None:
        query = "&".join(part for part in (query, f"timestamp={CLOCK.now_ms()}") if part)
        signature = hmac.new(key.api_secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
        query += f"&signature={signature}"
        headers["x-mbx-apikey"] = key.api_key
    elif venue is Venue.COINBASE and route.permission is not None:
        now_s = CLOCK.now_ms() // 1000
        claims = {"sub": key.api_key, "iss": "cdp", "nbf": now_s, "exp": now_s + 60,
                  "uri": f"{method} api.coinbase.com{path}"}  # fmt: skip
        headers["authorization"] = f"Bearer {coinbase_token(key.api_key, key.api_secret, claims)}"
    elif venue is Venue.KRAKEN and route.permission is not None:
        nonce = str(next(NONCES))
        body = f"nonce={nonce}&{body}"
        message = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
        signature = base64.b64encode(
            hmac.digest(base64.b64decode(key.api_secret), message, "sha512")
        ).decode()
        headers |= {"api-key": key.api_key, "api-sign": signature}
    request = ApiRequest(method, path, query, headers, body.encode(), "127.0.0.1")
    return SIMULATION.answer(SIMULATION.receive(venue, request))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(ROUTES), PARAMETERS, st.none() | JSON)
def test_any_request_gets_the_venues_own_answer(
    asked: tuple[Venue, Route, str], parameters: dict[str, str], document: object
) -> None:
    venue, route, method = asked
    form = urlencode(parameters)
    body = form if document is None else json.dumps(document)
    in_query = method == "GET" or venue is Venue.COINBASE

    reply = answered(venue, route, method, form if in_query else "", "" if method == "GET" else body)

    assert reply.status in {200, 400, 404}, reply.body
    answer = json.loads(reply.body)
    if venue is Venue.KRAKEN:
        assert reply.status == 200
        assert bool(answer["error"]) != ("result" in answer)
    elif reply.status != 200:
        assert ("code" if venue is Venue.BINANCE else "error") in answer
    for balance in SIMULATION.exchanges[venue].desk.account.balances.values():
        assert balance.free >= Decimal(0) <= balance.held
