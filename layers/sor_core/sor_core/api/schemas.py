"""Requests as pydantic reads them, and the domain types they become."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sor_core.api.problems import FieldError, Kind, invalid
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import plain
from sor_core.domain.order import Order, OrderType, Side, Strategy

MOST_PLACES = 18
MOST_WHOLE_DIGITS = 18
_NUMBER = (
    "a positive number, or one in a decimal string, with at most "
    f"{MOST_WHOLE_DIGITS} digits before the point and {MOST_PLACES} after it"
)
_LONGEST = 64
_Model = TypeVar("_Model", bound=BaseModel)


def _positive(value: Any) -> Decimal:
    """Exact and bounded: what a string or a JSON number says, digit by digit."""
    if isinstance(value, str) and len(value) <= _LONGEST and value.isascii():
        whole, _, fraction = value.partition(".")
        if (whole + fraction).isdigit() and whole and (fraction or "." not in value):
            value = Decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite() or value <= 0:
        raise PydanticCustomError("number", _NUMBER)
    exponent = value.as_tuple().exponent
    if value.adjusted() >= MOST_WHOLE_DIGITS or not isinstance(exponent, int) or exponent < -MOST_PLACES:
        raise PydanticCustomError("number", _NUMBER)
    return Decimal(plain(value))  # 1, 1.0 and "1.00" are the same order


Positive = Annotated[Decimal, BeforeValidator(_positive)]


def _whole(value: Any) -> Any:
    """A number without a fraction is whole however it is written (JSON Schema, "integer"): 2.0 is 2."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < MOST_WHOLE_DIGITS:
        return int(value) if value == value.to_integral_value() else value
    return value


WHOLE = BeforeValidator(_whole)


def _symbol(text: str) -> str:
    try:
        Symbol.parse(text)
    except ValueError:
        raise PydanticCustomError("symbol", "BASE/QUOTE in capitals, such as BTC/USDT") from None
    return text


class VenueChoice(BaseModel):
    """Which venues may be used: only these, or all but these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: list[str] | None = Field(default=None, min_length=1, max_length=50)
    deny: list[str] | None = Field(default=None, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _one_of(self) -> VenueChoice:
        if (self.allow is None) == (self.deny is None):
            raise PydanticCustomError("venues", 'either "allow" or "deny", a list of venue names')
        return self


class RouteRequest(BaseModel):
    """The body of ``POST /api/route``; see docs/api.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: Annotated[str, AfterValidator(_symbol)]
    side: Literal["buy", "sell"]
    type: Literal["market", "limit"]
    amount: Positive | None = None
    quote_amount: Positive | None = None
    price: Positive | None = None
    execution_strategy: Literal["best_execution", "lowest_latency", "best_liquidity", "cost_optimization"] = (
        "best_execution"
    )
    max_slippage_bps: Positive | None = None
    venues: VenueChoice | None = None
    max_legs: Annotated[int, Field(ge=1, le=50, strict=True), WHOLE] | None = None


_EXPECTED = {
    "missing": "a value; it is required",
    "extra_forbidden": "no such field",
    "string_type": "a string",
    "list_type": "a list of strings",
    "model_type": "an object",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} at most",
    "string_too_long": "{max_length} characters at most",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
}
"""By pydantic's type of the error, with what it tells of it ("Validation Errors")."""
_OURS = frozenset({"line", "name", "number", "symbol", "venues"})
"""Types of errors raised here, whose words are our own."""


def parse_order(document: Any, *, venues: Sequence[str], max_slippage_bps: Decimal) -> Order:
    """Check a decoded request body and make an order of it.

    Parameters
    ----------
    document
        Decoded JSON.
    venues
        Configured venues; others are unknown.
    max_slippage_bps
        The configured most, and what a market order that names none gets.

    Raises
    ------
    ProblemError
        Naming every field that is wrong, and what was expected.
    """
    request = checked(RouteRequest, document)
    if errors := order_errors(request, venues=venues, max_slippage_bps=max_slippage_bps):
        raise invalid(errors)
    return to_order(request, max_slippage_bps)


def checked(model: type[_Model], document: Any, kind: Kind = Kind.INVALID) -> _Model:
    """Read a decoded body; raises `ProblemError` naming every field that is wrong."""
    if not isinstance(document, dict):
        raise invalid([FieldError("body", "a JSON object")], kind)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid([_field_error(e) for e in error.errors(include_url=False)], kind) from error


def order_errors(
    request: RouteRequest, *, venues: Sequence[str], max_slippage_bps: Decimal
) -> list[FieldError]:
    """Hold the fields against each other and the configuration."""
    return [
        *_size_errors(request),
        *_limit_errors(request, max_slippage_bps),
        *_venue_errors(request, venues),
    ]


def to_order(request: RouteRequest, max_slippage_bps: Decimal) -> Order:
    """Make the order of a request that has no `order_errors`."""
    slippage = request.max_slippage_bps
    if slippage is None and request.type == "market":
        slippage = max_slippage_bps
    choice = request.venues or VenueChoice.model_construct()
    return Order(
        symbol=Symbol.parse(request.symbol),
        side=Side(request.side),
        type=OrderType(request.type),
        strategy=Strategy(request.execution_strategy),
        amount=request.amount,
        quote_amount=request.quote_amount,
        price=request.price,
        max_slippage_bps=slippage,
        allowed_venues=frozenset(choice.allow) if choice.allow is not None else None,
        denied_venues=frozenset(choice.deny or ()),
        max_legs=request.max_legs,
    )


def _size_errors(request: RouteRequest) -> list[FieldError]:
    if (request.amount is None) == (request.quote_amount is None):
        return [FieldError("amount", "either amount (base) or quote_amount, and not both")]
    return []


def _limit_errors(request: RouteRequest, max_slippage_bps: Decimal) -> list[FieldError]:
    errors = []
    if request.type == "limit" and request.price is None:
        errors.append(FieldError("price", "a limit price, for the type is limit"))
    if request.type == "market" and request.price is not None:
        errors.append(FieldError("price", "no price, for the type is market"))
    if request.max_slippage_bps is not None and request.max_slippage_bps > max_slippage_bps:
        expected = f"at most {max_slippage_bps} bps (SOR_MAX_SLIPPAGE_BPS)"
        errors.append(FieldError("max_slippage_bps", expected))
    return errors


def _venue_errors(request: RouteRequest, venues: Sequence[str]) -> list[FieldError]:
    if request.venues is None:
        return []
    errors = []
    for name, given in (("allow", request.venues.allow), ("deny", request.venues.deny)):
        if given is not None and not set(given) <= set(venues):
            errors.append(FieldError(f"venues.{name}", "names among " + ", ".join(venues)))
    if request.venues.deny is not None and set(request.venues.deny) >= set(venues):
        errors.append(FieldError("venues.deny", "at least one venue left"))
    return errors


def _field_error(error: Any) -> FieldError:
    # The input itself is never repeated: it may be long, or not meant for a log.
    name = ".".join(str(part)[:_LONGEST] for part in error["loc"]) or "body"
    return FieldError(name, _own_words(error))


def _own_words(error: Any) -> str:
    if error["type"] == "literal_error":
        return "one of " + str(error["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
    if error["type"] in _OURS:
        return str(error["msg"])
    return _EXPECTED.get(error["type"], "another value").format(**error.get("ctx", {}))
