"""API Gateway events in, HTTP answers out: nothing is decided here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from sor_core.api.json import NotJsonError, dumps, loads
from sor_core.api.problems import CONTENT_TYPE, FieldError, Kind, Problem, ProblemError

MAX_BODY_BYTES = 64 * 1024
"""An order is a few hundred bytes."""
ANONYMOUS = "anonymous"


def make_resolver() -> APIGatewayRestResolver:
    """Make a resolver that answers problems as RFC 9457 documents."""
    app = APIGatewayRestResolver()

    @app.exception_handler(ProblemError)  # type: ignore[untyped-decorator]
    def _problem(error: ProblemError) -> Response[str]:
        return problem_answer(error.problem, app.current_event)

    @app.not_found
    def _not_found(_: NotFoundError) -> Response[str]:
        detail = "see docs/api.md for the paths and their methods"
        return problem_answer(Problem(Kind.NOT_FOUND, detail), app.current_event)

    return app


def json_body(event: APIGatewayProxyEvent) -> Any:
    """The request's body, decoded. Raises `ProblemError` for what is no JSON or too large."""
    body: str | bytes = event.body or ""
    if len(body) > MAX_BODY_BYTES * 2:
        raise _too_large()
    if event.is_base64_encoded:
        try:
            body = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _not_json("not base64, although the gateway says so") from error
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        return loads(body)
    except NotJsonError as error:
        raise _not_json(str(error)) from error


def _too_large() -> ProblemError:
    return ProblemError(Problem(Kind.TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes are expected"))


def _not_json(detail: str) -> ProblemError:
    return ProblemError(Problem(Kind.NOT_JSON, f"a JSON object is expected: {detail[:200]}"))


def wants_fresh(event: APIGatewayProxyEvent) -> bool:
    """Whether the caller sent ``Cache-Control: no-cache`` (RFC 9111, 5.2.1.4)."""
    values = (value for name, value in (event.headers or {}).items() if name.lower() == "cache-control")
    return any("no-cache" in (part.strip().lower() for part in value.split(",")) for value in values)


def wants_receipt(event: APIGatewayProxyEvent) -> bool:
    """Whether the query says ``receipt=true``; raises `ProblemError` for anything but true or false."""
    asked = (event.query_string_parameters or {}).get("receipt", "false")
    if asked not in {"true", "false"}:
        errors = [FieldError("receipt", "true or false")]
        raise ProblemError(Problem(Kind.INVALID_REQUEST, "receipt: expected true or false", errors))
    return asked == "true"


def caller(event: APIGatewayProxyEvent) -> str:
    """Who asks: the ARN that the gateway authenticated, or ``anonymous`` where it asked for none."""
    identity = (event.get("requestContext") or {}).get("identity") or {}
    return str(identity.get("userArn") or ANONYMOUS)


def correlation_id(event: APIGatewayProxyEvent) -> str:
    """The gateway's id of the request, which stands in the logs; empty where it gave none."""
    return str((event.get("requestContext") or {}).get("requestId") or "")


def headers_of(event: APIGatewayProxyEvent) -> dict[str, str]:
    """The request's headers, names in lower case; of one that came several times the last."""
    return dict(event.headers or {})


def json_answer(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[str]:
    """Answer with a document, and with headers beside our own."""
    all_headers: dict[str, str | list[str]] = {"Cache-Control": "no-store", **(headers or {})}
    return Response(status, "application/json", dumps(document), headers=all_headers)


def problem_answer(problem: Problem, event: APIGatewayProxyEvent) -> Response[str]:
    """Answer with a problem, named after the request."""
    headers: dict[str, str | list[str]] = {"Cache-Control": "no-store"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    document = problem.document(correlation_id(event))
    return Response(problem.kind.status, CONTENT_TYPE, dumps(document), headers=headers)
