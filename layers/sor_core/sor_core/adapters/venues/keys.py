"""Sending what needs a key: with the one there is, and questions with the next where it was replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sor_core.adapters.http import Answer, NotSentError, SignedCall, VenueHttp
from sor_core.domain.credentials import Credentials, CredentialsError, KeyUse
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.ports_trading import CredentialsSource

_T = TypeVar("_T")


class TimeLeft:
    """What is left of the time given for several steps together (implements `ports_trading.Patience`)."""

    def __init__(self, venue: str, timeout_s: float) -> None:
        self._venue = venue
        self._timeout_s = timeout_s
        self._end_s = asyncio.get_running_loop().time() + timeout_s

    @property
    def seconds(self) -> float:
        """Never quite nothing, so that a step that comes too late fails as one that takes too long."""
        return max(0.001, self._end_s - asyncio.get_running_loop().time())

    async def ask(self, question: Callable[[float], Awaitable[_T]]) -> _T:
        """Ask once, with what is left: a page that is held up ends the list."""
        return await question(self.seconds)

    @asynccontextmanager
    async def bounds(self, error: type[VenueError] = VenueError) -> AsyncIterator[None]:
        """Let a block take what is left; raises `error` with TIMEOUT when it takes longer."""
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError as cause:
            raise error(self._venue, VenueFailure.TIMEOUT, f"given {self._timeout_s:g} s") from cause


class Keys:
    """The keys of one venue.

    Parameters
    ----------
    source
        Where they are.
    venue
        Whose.
    is_auth_refusal
        Tells whether the venue's answer says that it does not accept the key.
    """

    def __init__(
        self, source: CredentialsSource, venue: str, is_auth_refusal: Callable[[Answer], bool]
    ) -> None:
        self.venue = venue
        self._source = source
        self._is_auth_refusal = is_auth_refusal

    async def get(self, use: KeyUse) -> Credentials:
        """Give the key for a use; raises `NotSentError` where there is none."""
        try:
            return await self._source.get(self.venue, use)
        except CredentialsError as error:
            raise self._unusable(error) from None

    def sign(self, sign: Callable[[], SignedCall]) -> SignedCall:
        """Sign; raises `NotSentError` where the key is none that can."""
        try:
            return sign()
        except CredentialsError as error:
            raise self._unusable(error) from None

    def heed(self, credentials: Credentials, answer: Answer) -> bool:
        """Have a newer key looked for if the venue did not accept this one; say whether it did not."""
        is_refused = self._is_auth_refusal(answer)
        if is_refused:
            self._source.refused(credentials)
        return is_refused

    async def ask(self, use: KeyUse, ask: Callable[[Credentials], Awaitable[Answer]]) -> Answer:
        """Ask a question, and once more with a newer key where the key was replaced meanwhile.

        Never for an order: that is sent once, whatever comes back.
        """
        credentials = await self.get(use)
        answer = await ask(credentials)
        if not self.heed(credentials, answer):
            return answer
        newer = await self.get(use)
        return answer if newer == credentials else await ask(newer)

    def _unusable(self, error: CredentialsError) -> NotSentError:
        return NotSentError(self.venue, VenueFailure.REFUSED, f"credentials: {error.problem}")


async def send_order(
    http: VenueHttp,
    keys: Keys,
    sign: Callable[[Credentials], SignedCall],
    *,
    not_after_ms: int,
    timeout_s: float,
) -> Answer:
    """Sign an order and send it, once.

    Raises
    ------
    NotSentError
        Where no byte left.
    VenueError
        Where it may have arrived.
    """
    time_left = TimeLeft(keys.venue, timeout_s)
    async with time_left.bounds(NotSentError):
        credentials = await keys.get(KeyUse.TRADE)
    call = keys.sign(lambda: sign(credentials))
    answer = await http.send_once(call, timeout_s=time_left.seconds, not_after_ms=not_after_ms)
    keys.heed(credentials, answer)
    return answer
