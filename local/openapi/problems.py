"""Problems as RFC 9457 documents: a schema for each kind, and what each status may say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from local.openapi.examples import problems_recorded
from local.openapi.forms import NOT_NEGATIVE, TEXT, Schema, closed, listed, matching, ref
from sor_core.api.problems import CONTENT_TYPE, Kind

_INSTANCE = matching("^urn:sor:request:")
_EXCLUDED = {"excluded": listed(ref("Exclusion"))}
_FILLABLE = {"fillable_amount": NOT_NEGATIVE, **_EXCLUDED}
_EXTRA: dict[Kind, dict[str, Schema]] = {
    Kind.UNKNOWN_SYMBOL: _EXCLUDED,
    Kind.INSUFFICIENT_DEPTH: _FILLABLE,
    Kind.SLIPPAGE: _FILLABLE,
    Kind.INSUFFICIENT_FUNDS: _FILLABLE,
    Kind.BELOW_MINIMUM: _EXCLUDED,
    Kind.NO_VENUE: _EXCLUDED,
}
_NAMES_FIELDS = {kind for kind in Kind if kind.status == 422} | {  # noqa: PLR2004 - what a field makes
    Kind.KEY_REQUIRED,
    Kind.NOT_JSON,
    Kind.SYMBOL_NOT_ALLOWED,
    Kind.REDUCE_ONLY,
}
GATEWAY = "GatewayProblem"
GATEWAY_STATUSES = {
    "403": "No valid signature; the path /; a method other than GET, POST, PUT, PATCH, DELETE.",
    "413": "More than 10 MB.",
    "429": "More requests than the stage's throttle lets through.",
    "500": "A function failed, or the gateway did.",
    "502": "A function gave no answer that the gateway could use.",
    "503": "The gateway could not reach the function.",
    "504": "A function was not done within 29 seconds.",
}
_KINDS_OF_HEADERS = {
    "CacheControl": ("Cache-Control", "Nothing is to be kept.", {"const": "no-store"}),
    "RetryAfter": ("Retry-After", "Seconds after which to try again.", matching("^[0-9]{1,4}$")),
    "Location": (
        "Location",
        "Where the order can be followed; in AWS below the stage.",
        matching("^/api/orders/[0-9a-f]{32}$"),
    ),
}


def name_of(kind: Kind) -> str:
    """Of its schema among the components: ``NotJsonProblem``."""
    slug = kind.type.rpartition(":")[2]
    return "".join(word.capitalize() for word in slug.split("-")) + "Problem"


def schemas() -> dict[str, Schema]:
    """Every problem, and what they are made of."""
    return {
        "FieldError": closed({"field": TEXT, "expected": TEXT}),
        **{name_of(kind): _problem(kind) for kind in Kind},
        GATEWAY: closed(
            {
                "type": {"const": "about:blank"},
                "title": TEXT,
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {"type": ["string", "null"]},
                "instance": _INSTANCE,
            },
            # The local front door adds the status; what it answers by itself has no request to name.
            optional=("status", "detail", "instance"),
        ),
    }


def _problem(kind: Kind) -> Schema:
    errors = {"errors": listed(ref("FieldError"))} if kind in _NAMES_FIELDS else {}
    extra = _EXTRA.get(kind, {})
    return closed(
        {
            "type": {"const": kind.type},
            "title": {"const": kind.title},
            "status": {"const": kind.status},
            "detail": TEXT,
            "instance": _INSTANCE,
            **errors,
            **extra,
        },
        optional=("errors",),
    )


def headers() -> dict[str, Schema]:
    """The components that answers refer to."""
    return {
        name: {"description": description, "schema": schema}
        for name, (_, description, schema) in _KINDS_OF_HEADERS.items()
    }


def header(component: str, *, required: bool = False) -> dict[str, Schema]:
    """A header of an answer, by its component."""
    name, description, schema = _KINDS_OF_HEADERS[component]
    if not required:
        return {name: {"$ref": f"#/components/headers/{component}"}}
    return {name: {"description": description, "required": True, "schema": schema}}


def responses(kinds: Iterable[Kind]) -> dict[str, Schema]:
    """The answers of an operation that are problems, its own and the gateway's, by status."""
    by_status: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds:
        by_status[str(kind.status)].append(kind)
    return {
        status: _response(by_status.get(status, []), GATEWAY_STATUSES.get(status, ""))
        for status in sorted({*by_status, *GATEWAY_STATUSES})
    }


def _response(kinds: list[Kind], of_gateway: str) -> Schema:
    said = [f"{kind.title} (`{kind.type}`)." for kind in kinds]
    schemas = [ref(name_of(kind)) for kind in kinds]
    if of_gateway:
        said.append(f"By API Gateway: {of_gateway}")
        schemas.append(ref(GATEWAY))
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    return {
        "description": " ".join(said),
        "headers": header("CacheControl") | header("RetryAfter"),
        "content": {CONTENT_TYPE: {"schema": schema, **_shown(kinds)}},
    }


def _shown(kinds: Iterable[Kind]) -> Schema:
    recorded = problems_recorded()
    named = {kind: f"#/components/examples/{name_of(kind)}" for kind in kinds if kind.type in recorded}
    return {"examples": {name_of(kind): {"$ref": at} for kind, at in named.items()}} if named else {}


def examples() -> dict[str, Schema]:
    """Recorded problems, by the names of their schemas."""
    recorded = problems_recorded()
    return {name_of(kind): {"value": recorded[kind.type]} for kind in Kind if kind.type in recorded}
