"""API Gateway events in, HTTP answers out: nothing is decided here.

The gateway has already matched the path (its `resource` is the template's path), so what is left of
routing is one look into a dictionary. Powertools' event handler would match it again, and importing
it makes every cold start longer (docs/performance.md).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sor_core.api.json import NotJsonError, RepeatedNameError, dumps, loads, loads_once
from sor_core.api.problems import (
    CONTENT_TYPE,
    FieldError,
    Kind,
    Problem,
    ProblemError,
    invalid,
    shown_name,
)

MAX_BODY_BYTES = 64 * 1024
"""An order is a few hundred bytes."""
ANONYMOUS = "anonymous"
_LOGGED = re.compile(r"[a-z_]{1,24}(?:\.[a-z0-9_]{1,24}){0,2}|Idempotency-Key", re.ASCII)
"""Names of fields as the API has them: any other may be anything, and is not written down."""
_UNKNOWN = "no such "
_SIGNING = frozenset(
    {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token"}
    | {"X-Amz-Signature", "X-Amz-SignedHeaders"}
)
"""The gateway's own: a signature may stand in the query (AWS, "Signature Version 4 for API requests")."""

_SESSION = re.compile(r"(?P<role>arn:[a-z-]+:sts::[0-9]*:assumed-role/[^/]+)/.+", re.DOTALL)
"""AWS, "IAM identifiers": the ARN of an assumed role ends with the session's name."""

Event = Mapping[str, Any]
"""A request as API Gateway hands it over (AWS, "Input format of a Lambda function for proxy integration")."""
Answer = dict[str, Any]
"""An answer as API Gateway takes it (same page, "Output format")."""
_Serve = Callable[[Event], Answer]


class Routes:
    """Which function serves which method and path of the template."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, str], tuple[_Serve, tuple[str, ...]]] = {}

    @property
    def table(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """What is served, by method and path, and the parameters that its query may have."""
        return {at: query for at, (_, query) in self._served.items()}

    def on(self, method: str, resource: str, *query: str) -> Callable[[_Serve], _Serve]:
        """Have a function serve a path of the template, such as ``/api/orders/{order_id}``.

        A query may have the parameters named, each once; with any other the request is refused.
        """

        def add(serve: _Serve) -> _Serve:
            self._served[method, resource] = serve, query
            return serve

        return add

    def __call__(self, event: Event, _context: object = None) -> Answer:
        """Serve an event; a `ProblemError` becomes an RFC 9457 document."""
        served = self._served.get((str(event.get("httpMethod")), str(event.get("resource"))))
        if served is None:
            detail = "see docs/api.md for the paths and their methods"
            return problem_answer(Problem(Kind.NOT_FOUND, detail), event)
        serve, query = served
        try:
            _check_query(event, query)
            return serve(event)
        except ProblemError as error:
            return problem_answer(error.problem, event)


def _check_query(event: Event, known: Collection[str]) -> None:
    """Refuse a query with a parameter that means nothing here, or with one that came several times."""
    once = event.get("queryStringParameters") or {}
    several = event.get("multiValueQueryStringParameters") or {}
    here = f"known here: {', '.join(known)}" if known else "none is known here"
    errors = []
    for name in {**once, **several}:
        if name not in known and name not in _SIGNING:
            errors.append(FieldError(shown_name(name), f"{_UNKNOWN}parameter; {here}"))
        elif len(several.get(name) or ()) > 1:
            errors.append(FieldError(name, f"once; {here}"))
    if errors:
        raise invalid(errors, Kind.INVALID_REQUEST)


def json_body(event: Event) -> Any:
    """The request's body, decoded.

    Raises `ProblemError` for what is no JSON, too large, or says a name of an object twice.
    """
    body: str | bytes = event.get("body") or ""
    if len(body) > MAX_BODY_BYTES * 2:
        raise _too_large()
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _not_json("it is not base64, although the gateway says so") from error
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    if not body.strip():
        raise _not_json("there is none")
    try:
        return loads_once(body)
    except NotJsonError as error:
        raise _not_json(str(error)) from error
    except RepeatedNameError as error:
        raise invalid([FieldError(shown_name(str(error)), "once")], Kind.INVALID_REQUEST) from error


def _too_large() -> ProblemError:
    return ProblemError(Problem(Kind.TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes are expected"))


def _not_json(detail: str) -> ProblemError:
    errors = [FieldError("body", "a JSON object")]
    return ProblemError(Problem(Kind.NOT_JSON, f"body: expected a JSON object, and {detail}", errors))


def wants_fresh(event: Event) -> bool:
    """Whether the caller sent ``Cache-Control: no-cache`` (RFC 9111, 5.2.1.4)."""
    directives = headers_of(event).get("cache-control", "").split(",")
    return "no-cache" in (directive.strip().lower() for directive in directives)


def wants_receipt(event: Event) -> bool:
    """Whether the query says ``receipt=true``; raises `ProblemError` for anything but true or false."""
    asked = query_of(event).get("receipt", "false")
    if asked not in {"true", "false"}:
        errors = [FieldError("receipt", "true or false")]
        raise ProblemError(Problem(Kind.INVALID_REQUEST, "receipt: expected true or false", errors))
    return asked == "true"


def signer(event: Event) -> str:
    """Who signed: the ARN that the gateway authenticated, or ``anonymous`` where it asked for none."""
    identity = (event.get("requestContext") or {}).get("identity") or {}
    return str(identity.get("userArn") or ANONYMOUS)


def caller(event: Event) -> str:
    """Whose orders these are: the `signer`, of a role's sessions the role.

    A session's name is whatever the program that assumed the role said, often another at each start: as
    part of a caller it would make a repeated idempotency key a second order. So a role is one caller,
    whoever uses it (docs/access.md).
    """
    arn = signer(event)
    role = _SESSION.fullmatch(arn)
    return role["role"] if role else arn


def correlation_id(event: Event) -> str:
    """The gateway's id of the request, which stands in the logs; empty where it gave none."""
    return str((event.get("requestContext") or {}).get("requestId") or "")


def sent_once(event: Event, name: str) -> None:
    """Refuse a header that came several times, as `headers_of` cannot tell; raises `ProblemError`."""
    found = {each for each in (event.get("headers") or {}) if each.lower() == name.lower()}
    several = (event.get("multiValueHeaders") or {}).items()
    values = [value for each, given in several if each.lower() == name.lower() for value in given or ()]
    if max(len(found), len(values)) > 1:
        raise invalid([FieldError(name, "once")], Kind.INVALID_REQUEST)


def headers_of(event: Event) -> dict[str, str]:
    """The request's headers, names in lower case; the values of one that came several times, after commas.

    Such a header means the same as one with all its values (RFC 9110, section 5.3).
    """
    once = (event.get("headers") or {}).items()
    headers = {name.lower(): value for name, value in once if value is not None}
    several = (event.get("multiValueHeaders") or {}).items()
    return headers | {
        name.lower(): ", ".join(values) for name, values in several if values and len(values) > 1
    }


def query_of(event: Event) -> dict[str, str]:
    """The query's parameters, of which `Routes` has seen that each came once."""
    given = (event.get("queryStringParameters") or {}).items()
    return {name: value for name, value in given if value is not None}


def path_of(event: Event, name: str) -> str:
    """What stands in a path for one of its names; empty where nothing does."""
    return str((event.get("pathParameters") or {}).get(name, ""))


def json_answer(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Answer with a document, and with headers beside our own."""
    return answer(dumps(document), "application/json", status, headers)


def answer(
    body: str, content_type: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Answer with a text; nothing of ours may be kept by caches between."""
    all_headers = {"Content-Type": content_type, "Cache-Control": "no-store", **(headers or {})}
    return {"statusCode": status, "headers": all_headers, "body": body, "isBase64Encoded": False}


def problem_answer(problem: Problem, event: Event) -> Answer:
    """Answer with a problem, named after the request."""
    retry = {} if problem.retry_after_s is None else {"Retry-After": str(problem.retry_after_s)}
    document = dumps(problem.document(correlation_id(event)))
    return answer(document, CONTENT_TYPE, problem.kind.status, retry)


def told_of_problem(event: Event, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What the log is told of a problem answered: who asked what, and what was wrong with which field.

    Never a value, nor a name that is none of ours: either may be a secret at the wrong place.
    """
    problem = loads(answer["body"])
    errors = [e for e in problem.get("errors", ()) if not e["expected"].startswith(_UNKNOWN)]
    return {
        "type": problem["type"],
        "status": problem["status"],
        "caller": caller(event),
        "request": f"{event.get('httpMethod')} {event.get('resource')}",
        "fields": [e["field"] for e in errors if _LOGGED.fullmatch(e["field"])],
    }


def is_problem(answer: object) -> bool:
    """Whether an invocation's answer is `problem_answer`."""
    headers = answer.get("headers") if isinstance(answer, dict) else None
    return isinstance(headers, dict) and headers.get("Content-Type") == CONTENT_TYPE
