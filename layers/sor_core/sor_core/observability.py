"""Structured logs: one line per decision and per thing that went wrong, as JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from aws_lambda_powertools import Logger

SERVICE = "sor"
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
    """Make the process's logger; DEBUG also shows what libraries say of their requests."""
    if level == "DEBUG":
        logging.getLogger("httpx").setLevel(logging.INFO)
    return Logger(service=SERVICE, level=level, use_rfc3339=True, utc=True)
