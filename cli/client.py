"""Calls of the API: signed where they leave this machine, each sent once."""

from __future__ import annotations

import ipaddress
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import click
import httpx

from cli.exits import Code, UnavailableError
from cli.show import show_problem
from sor_core.api.json import NotJsonError, loads

if TYPE_CHECKING:
    from cli.aws import Aws

DEFAULT_URL = "http://127.0.0.1:8007"
ANSWER_TIMEOUT_S = 35.0
"""A little over API Gateway's own 29 s, so that its answer to a late function comes first."""
CONNECT_TIMEOUT_S = 5.0
_MOST_NESTED = 32


class RefusedError(click.ClickException):
    """The API answered that it will not; the problem document says why."""

    exit_code = Code.REFUSED.value

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the API answered {answer.status}")
        self.answer = answer

    def show(self, file: Any = None) -> None:
        """Print the problem plainly."""
        show_problem(self.answer.status, self.answer.document(), file or sys.stderr)


class NotNowError(RefusedError):
    """The API answered that it cannot now (429, 5xx)."""

    exit_code = Code.UNAVAILABLE.value


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    def document(self) -> Any:
        """The decoded body with every digit of its numbers; None if it is not JSON that can be shown."""
        try:
            document = loads(self.text)
        except NotJsonError:
            return None
        return None if _is_deep(document) else document


class Api:
    """The API at one address.

    Parameters
    ----------
    url
        Where it is; the paths of docs/api.md are appended.
    aws
        Who signs what leaves this machine; None for an API on this machine.

    Raises
    ------
    click.UsageError
        The address is none that orders may be sent to.
    """

    def __init__(self, url: str, aws: Aws | None = None) -> None:
        self.url = url.rstrip("/")
        self._aws = None if is_local(url) else aws
        self._local = is_local(url)
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, once, and return its answer: a JSON object of status 2xx.

        Raises
        ------
        RefusedError
            It answered another status; `NotNowError` where the same may be asked again later.
        UnavailableError
            It did not answer, or something on the way answered in its place.
        click.UsageError
            The request cannot be written down, or there are no credentials to sign it with.
        """
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            url = str(httpx.URL(self.url + path, params=params or None))
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise click.UsageError(f"{self.url + path!r} is no address: {error}") from error
        if self._aws is not None:
            sent = self._aws.sign(method, url, sent, content)
        try:
            response = self._open().request(method, url, content=content, headers=sent)
        except httpx.RequestError as error:
            told = str(error) or type(error).__name__
            raise UnavailableError(f"{self.url} gave no answer: {told}") from error
        answer = Answer(response.status_code, response.headers, response.text)
        document = answer.document()
        if response.is_success and isinstance(document, dict):
            return answer
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise NotNowError(answer)
        if response.is_client_error:
            raise RefusedError(answer)
        if response.is_server_error and isinstance(document, dict) and "title" in document:
            raise NotNowError(answer)
        raise UnavailableError(f"{self.url} answered {answer.status}, and not as the API does")

    def _open(self) -> httpx.Client:
        if self._client is None:
            timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            self._client = httpx.Client(timeout=timeout, trust_env=not self._local)
        return self._client


def _is_deep(document: Any) -> bool:
    layer = [document]
    for _ in range(_MOST_NESTED):
        layer = [
            inside
            for part in layer
            for inside in (
                part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
            )
        ]
    return bool(layer)


def is_local(url: str) -> bool:
    """Whether an address is on this machine, so that nothing is signed.

    Raises
    ------
    click.UsageError
        It is no address, or a plain one elsewhere.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise click.UsageError(f"{url!r} is no address: {error}") from error
    local = _is_loopback(parsed.host)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise click.UsageError(f"expected an address such as https://HOST/v1, not {url!r}")
    if parsed.scheme == "http" and not local:
        raise click.UsageError(f"orders leave this machine over https only, not to {url!r}")
    return local


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
