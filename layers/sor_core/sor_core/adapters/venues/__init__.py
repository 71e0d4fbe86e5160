"""One folder a venue, each with the same files.

``facts``
    The venue's constants, limits, fees and codes, each in one place with its source.
``symbols``
    Its names for assets and markets, both ways.
``market_data``
    Its public side: pure functions from an answer's bytes to the domain's types, and the adapter
    that asks (`ports.VenueMarketData`).

`registry` lists the venues; `wire` holds what reading any venue's answer needs.
"""
