"""Calls of the API: signed where they leave this machine, each sent once."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import botocore.session
import click
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError

from cli.show import show_problem

ANSWER_TIMEOUT_S = 35.0
"""A little over API Gateway's own 29 s, so that its answer to a late function comes first."""
_GATEWAY_HOST = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


class RefusedError(click.ClickException):
    """The API answered that it will not; the problem document says why."""

    exit_code = 1

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the API answered {answer.status}")
        self.answer = answer

    def show(self, file: Any = None) -> None:
        """Print the problem plainly."""
        show_problem(self.answer.status, self.answer.document(), file)


class UnreachableError(click.ClickException):
    """No answer of the API came: whether it did anything is not known."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    def document(self) -> Any:
        """The decoded body with every digit of its numbers; None if it is not JSON."""
        try:
            return json.loads(self.text, parse_float=Decimal)
        except ValueError:
            return None


def call(
    base_url: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Answer:
    """Send one request, once, and return its answer of status 2xx.

    Raises
    ------
    RefusedError
        It answered another status.
    UnreachableError
        It did not answer, or something on the way answered in its place.
    click.UsageError
        The address is none that may be called, or there are no credentials to sign with.
    """
    url, local = _address(base_url, path, params)
    content = b"" if body is None else json.dumps(body).encode()
    sent = {"Accept": "application/json", **(headers or {})}
    if body is not None:
        sent["Content-Type"] = "application/json"
    if not local:
        sent = _signed(method, url, sent, content)
    try:
        with httpx.Client(timeout=httpx.Timeout(timeout_s, connect=5.0), trust_env=not local) as client:
            response = client.request(method, url, content=content, headers=sent)
            answer = Answer(response.status_code, response.headers, response.text)
    except httpx.TransportError as error:
        raise UnreachableError(f"{base_url} gave no answer: {str(error) or type(error).__name__}") from error
    if response.is_success:
        return answer
    document = answer.document()
    if response.is_server_error and not (isinstance(document, dict) and "title" in document):
        raise UnreachableError(f"{base_url} answered {answer.status} without a reason")
    raise RefusedError(answer)


def _address(base_url: str, path: str, params: Mapping[str, str] | None) -> tuple[str, bool]:
    try:
        url = httpx.URL(base_url.rstrip("/") + path, params=params or None)
    except httpx.InvalidURL as error:
        raise click.UsageError(f"{base_url!r} is no address: {error}") from error
    local = _is_loopback(url.host)
    if url.scheme not in {"http", "https"} or not url.host:
        raise click.UsageError(f"expected an address such as https://HOST/v1, not {base_url!r}")
    if url.scheme == "http" and not local:
        raise click.UsageError(f"orders leave this machine over https only, not to {base_url!r}")
    return str(url), local


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _signed(method: str, url: str, headers: Mapping[str, str], content: bytes) -> dict[str, str]:
    """Add an AWS Signature V4, by the credentials and region that the AWS tools use too."""
    session = botocore.session.Session()
    named = _GATEWAY_HOST.search(httpx.URL(url).host)
    try:
        credentials = session.get_credentials()
        region = named[1] if named else session.get_config_variable("region")
    except BotoCoreError as error:
        raise click.UsageError(f"no AWS credentials to sign with: {error}") from error
    if credentials is None:
        raise click.UsageError("no AWS credentials to sign with: set AWS_PROFILE or AWS_ACCESS_KEY_ID")
    region = region or os.environ.get("AWS_REGION")
    if not region:
        raise click.UsageError("no AWS region to sign for: set AWS_REGION")
    request = AWSRequest(method=method, url=url, data=content, headers=dict(headers))
    SigV4Auth(credentials, "execute-api", region).add_auth(request)
    return dict(request.headers.items())
