"""Structured logs: one line per decision and per thing that went wrong, as JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from aws_lambda_powertools import Logger

SERVICE = "sor"
_LIBRARIES = ("boto3", "botocore", "httpcore", "httpx", "urllib3")
_CALLER = 3
"""Frames up to who said it, for the line's `location`."""


class Log(Protocol):
    """What the core says; fields are names of our own and values without bodies or secrets."""

    def info(self, event: str, **fields: object) -> None:
        """Something happened as it should."""
        ...

    def warning(self, event: str, **fields: object) -> None:
        """Something failed and was dealt with."""
        ...


class PowertoolsLog:
    """`Log` on Powertools' JSON logger."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def info(self, event: str, **fields: object) -> None:
        """Write one line at INFO."""
        self._logger.info(event, extra=_named(fields), stacklevel=_CALLER)

    def warning(self, event: str, **fields: object) -> None:
        """Write one line at WARNING."""
        self._logger.warning(event, extra=_named(fields), stacklevel=_CALLER)


def _named(fields: Mapping[str, object]) -> dict[str, Any]:
    return dict(fields)


def make_logger(level: str) -> Logger:
    """Make the process's logger.

    At DEBUG every request to a venue is a line, too: method, address, status. What libraries say of
    their own accord is kept to warnings at every level, for in it stand whole requests with their
    signatures (httpx: the query; botocore: headers and bodies, secrets among them).
    """
    logger = Logger(service=SERVICE, level=level, use_rfc3339=True, utc=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    requests = logging.getLogger("httpx")
    requests.filters = [_without_query]
    if level == "DEBUG":
        requests.setLevel(logging.INFO)
        requests.handlers = [logger.registered_handler]
    requests.propagate = level != "DEBUG"
    return logger


def _without_query(record: logging.LogRecord) -> bool:
    """Cut the query off an address: a venue may be told there who signs, and with what."""
    if isinstance(record.args, tuple):
        record.args = tuple(a if isinstance(a, int) else str(a).partition("?")[0] for a in record.args)
    return True
