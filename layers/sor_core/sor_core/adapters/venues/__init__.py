"""One folder a venue, each with the same files.

``facts``
    The venue's constants, limits, fees and codes, each in one place with its source.
``symbols``
    Its names for assets and markets, both ways.
``market_data``
    Its public side: pure functions from an answer's bytes to the domain's types, and the adapter
    that asks (`ports.VenueMarketData`).
``signing``
    How it wants private requests signed: pure functions of key, request and time or nonce.
``answers``
    What its codes say of an order, as one table: taken, refused and why, or nobody knows.
``orders``
    Its orders, fills, balances and fees in the domain's types.
``trading``
    Its private side: the pure function that writes an order's request, and the adapter that sends
    (`ports_trading.VenueTrading`).
``limits``
    How it counts requests, for `budget`.

`registry` and `trading_registry` list the venues; `wire` holds what reading any venue's answer needs,
`calls` and `keys` what sending any venue's private request needs.
"""
