"""An adapter with a few of its methods taken by others: what a ledger or a venue is met with at one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast

T = TypeVar("T")
Instead = Callable[..., Awaitable[Any]]
"""Called with the method that it stands for, and then with that method's own arguments."""


class _Interposed:
    def __init__(self, inner: object, instead: dict[str, Instead]) -> None:
        self._inner = inner
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return partial(self._instead[name], method) if name in self._instead else method


def but(inner: T, **instead: Instead) -> T:
    """The same adapter but for the methods named."""
    return cast("T", _Interposed(inner, instead))
