"""Requests and answers as the dialects see them: plain values, no sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from local.venues.credentials import Permission
from local.venues.faults import Endpoint


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request as it arrived, its path without the venue's prefix."""

    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    client_ip: str
    path_params: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's parameters in their order."""
        return parse_qsl(self.raw_query, keep_blank_values=True)

    @property
    def form(self) -> list[tuple[str, str]]:
        """The parameters of a form in the body; none if it is no text."""
        try:
            return parse_qsl(self.body.decode(), keep_blank_values=True)
        except UnicodeDecodeError:
            return []

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)


@dataclass(frozen=True, slots=True)
class ApiReply:
    """An answer ready to be sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def with_headers(self, headers: Mapping[str, str]) -> ApiReply:
        """Build the same answer with further headers."""
        return ApiReply(self.status, self.body, {**self.headers, **headers}, self.content_type)


def json_reply(document: object, status: int = 200) -> ApiReply:
    """Write a document as compact JSON, as the venues do."""
    return ApiReply(status, json.dumps(document, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class Route:
    """A path of a venue's API.

    Attributes
    ----------
    methods
        HTTP methods it takes.
    template
        Path within the venue's prefix; ``{name}`` matches one segment.
    endpoint
        What it is in the words that faults and counts use.
    handle
        Answers a request; gets the venue as the request finds it.
    permission
        What a key must allow, or None for a public path.
    weight
        What it costs of the venue's rate limit, where requests cost differently.
    """

    methods: Sequence[str]
    template: str
    endpoint: Endpoint
    handle: Callable[[ApiRequest, Any], ApiReply]
    permission: Permission | None = None
    weight: Callable[[ApiRequest], int] = lambda _: 1

    def match(self, path: str) -> dict[str, str] | None:
        """Give the path's parameters, or None where it is another path."""
        pattern = re.sub(
            r"\{(\w+)\}", r"(?P<\1>[^/]+)", re.escape(self.template).replace(r"\{", "{").replace(r"\}", "}")
        )
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()
