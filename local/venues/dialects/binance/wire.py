"""Binance's names, parameters and errors (Binance Spot API docs, "General Info" and "Error codes")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from local.venues.markets import LISTINGS, Listing, Venue
from local.venues.web import ApiReply, ApiRequest, json_reply

LISTINGS_BY_NAME = {listing.base + listing.quote: listing for listing in LISTINGS[Venue.BINANCE].values()}
SYMBOL_FORM = r"^[A-Z0-9-_.]{1,20}$"
CLIENT_ID_FORM = r"^[a-zA-Z0-9-_]{1,36}$"
_WHOLE_FORM = r"^[0-9]{1,20}$"
_DECIMAL_FORM = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_DECIMALS = 8
_LARGEST_ID = 2**63 - 1


class BinanceError(Exception):
    """An error in Binance's own form: a negative code, a text and an HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def reply(self) -> ApiReply:
        """The error as an answer."""
        return error_reply(self.code, self.message, self.status)


BNB_FACTOR = Decimal("0.75")
"""What is left to pay of a fee that is taken in BNB."""


def error_reply(code: int, message: str, status: int) -> ApiReply:
    """An error as an answer."""
    return json_reply({"code": code, "msg": message}, status)


def amount(value: Decimal) -> str:
    """Write a price or quantity: always eight decimals."""
    return f"{value:.8f}"


def symbol_name(listing: Listing) -> str:
    """The venue's name of a market: BTCUSDT."""
    return listing.base + listing.quote


def listing_named(name: str) -> Listing:
    """Look a market up; error -1121 where it is not listed."""
    listing = LISTINGS_BY_NAME.get(name)
    if listing is None:
        raise BinanceError(-1121, "Invalid symbol.")
    return listing


class Parameters:
    """A request's parameters, each checked as it is asked for.

    They may come in the query or in a form; where both name one, the query's counts.
    """

    def __init__(self, request: ApiRequest, *known: str) -> None:
        query, form = request.query, request.form if request.method != "GET" else []
        for pairs in (query, form):
            if len({name for name, _ in pairs}) < len(pairs):
                raise BinanceError(-1101, "Duplicate values for a parameter detected.")
        self._values: Mapping[str, str] = {**dict(form), **dict(query)}
        read = [name for name in self._values if name in known or name in _SIGNING]
        if len(read) < len(self._values):
            raise BinanceError(
                -1104,
                f"Not all sent parameters were read; read '{len(read)}' parameter(s) "
                f"but was sent '{len(self._values)}'.",
            )

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, form: str) -> str | None:
        """A parameter of that form (-1105 if empty, -1100 if of another)."""
        value = self._values.get(name)
        if value is None:
            return None
        if not value:
            raise BinanceError(-1105, f"Parameter '{name}' was empty.")
        if re.fullmatch(form, value, re.ASCII) is None:
            message = f"Illegal characters found in parameter '{name}'; legal range is '{form}'."
            raise BinanceError(-1100, message)
        return value

    def required(self, name: str, form: str) -> str:
        """A parameter that must be there (-1102)."""
        value = self.text(name, form)
        if value is None:
            message = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            raise BinanceError(-1102, message)
        return value

    def listing(self) -> Listing:
        """The market that the parameter `symbol` names."""
        return listing_named(self.required("symbol", SYMBOL_FORM))

    def whole(self, name: str) -> int | None:
        """A number without fraction or sign."""
        text = self.text(name, _WHOLE_FORM)
        if text is not None and int(text) > _LARGEST_ID:
            raise BinanceError(-1108, f"Parameter '{name}' overflowed.")
        return None if text is None else int(text)

    def limit(self, default: int, most: int) -> int:
        """The parameter `limit`, cut to what the endpoint gives at most."""
        limit = self.whole("limit")
        if limit == 0:
            raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
        return default if limit is None else min(limit, most)

    def decimal(self, name: str) -> Decimal | None:
        """A positive number of at most eight decimals (-1111 beyond, -1013 for zero)."""
        text = self.text(name, _DECIMAL_FORM)
        if text is None:
            return None
        if len(text.partition(".")[2]) > _DECIMALS:
            raise BinanceError(-1111, f"Parameter '{name}' has too much precision.")
        value = Decimal(text)
        if value == 0:
            raise BinanceError(-1013, f"Invalid {name}.")
        return value

    def choice(self, name: str, code: int, message: str, *words: str) -> str | None:
        """One of a few words, or that error."""
        value = self._values.get(name)
        if value is not None and value not in words:
            raise BinanceError(code, message)
        return value


_SIGNING = {"timestamp", "recvWindow", "signature"}
