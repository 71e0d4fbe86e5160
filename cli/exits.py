"""How `sor` ends: its exit codes, and the errors that lead to them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import click


class Code(IntEnum):
    """Exit codes, for scripts; docs/cli.md has the same table."""

    DONE = 0
    FAILED = 1
    """Something on this machine: a file cannot be written."""
    USAGE = 2
    """The command cannot be run as given; nothing was sent."""
    UNAVAILABLE = 3
    """No answer, or one that says "not now" (429, 5xx): the same command may succeed later."""
    REFUSED = 4
    """The API refused (4xx): the same command will be refused again."""
    OPEN = 5
    """The order goes on: it had not ended when the wait was over."""
    NOT_FILLED = 6
    """The order ended, in part or all of it not filled."""
    NEEDS_REVIEW = 7
    """The order is left to a person."""
    NOT_VERIFIED = 8
    """The receipt does not hold."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it: 128 + SIGINT."""


_ENDED_SHORT = frozenset({"partially_filled", "cancelled", "expired", "rejected"})
_WHOLE = frozenset({"filled", "resting"})


class UnavailableError(click.ClickException):
    """No answer of the API came: whether it did anything is not known."""

    exit_code = Code.UNAVAILABLE.value


def of_order(order: Mapping[str, Any]) -> Code:
    """The exit code for an order as it stands: done if it is filled, or rests as it was meant to."""
    if order.get("dry_run"):
        return Code.DONE if order.get("success") else Code.NOT_FILLED
    status = str(order.get("status"))
    if status in _WHOLE:
        return Code.DONE
    if status == "needs_review":
        return Code.NEEDS_REVIEW
    return Code.NOT_FILLED if status in _ENDED_SHORT else Code.OPEN


def of_cancel(order: Mapping[str, Any]) -> Code:
    """The exit code for an order that was asked to end: done if it has, however much was filled."""
    status = str(order.get("status"))
    if status == "needs_review":
        return Code.NEEDS_REVIEW
    return Code.DONE if status == "filled" or status in _ENDED_SHORT else Code.OPEN
