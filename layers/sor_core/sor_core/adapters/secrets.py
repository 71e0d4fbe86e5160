"""The venues' keys in AWS Secrets Manager: ``<prefix>/<venue>``, and ``<prefix>/<venue>/reading``.

Their content is described in docs/credentials.md. They are cached for a short time, and read again
as soon as a venue does not accept one any more: a rotation needs no deployment.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from sor_core.clock import Clock
from sor_core.domain.credentials import Credentials, CredentialsError, KeyUse

CACHED_FOR_MS = 300_000
"""How long a key is believed without another look."""

RE_READ_AFTER_MS = 5_000
"""How soon after a look a venue's refusal is worth another: a key that is simply wrong would otherwise
cost a look for every request."""

_NOT_FOUND = "ResourceNotFoundException"
_READING = "reading"


class _Stored(msgspec.Struct):
    """All forms at once: ours, and both files that Coinbase's portal gives for download."""

    api_key: str = ""
    api_secret: str = ""
    name: str = ""
    id: str = ""
    private_key: str = msgspec.field(name="privateKey", default="")

    def __repr__(self) -> str:
        return "_Stored(...)"


_STORED = msgspec.json.Decoder(_Stored)


@dataclass(frozen=True, slots=True)
class _Cached:
    credentials: Credentials | None
    """None where there is no such secret."""
    read_at_ms: int
    refused: bool = False


class _UnreachableError(CredentialsError):
    """Secrets Manager did not give the secret."""


class SecretsManagerCredentials:
    """`ports_trading.CredentialsSource` on Secrets Manager.

    Parameters
    ----------
    client
        A boto3 ``secretsmanager`` client with explicit timeouts. It blocks, so calls run in threads.
    prefix
        What the names of the secrets begin with: ``<stack>/venues``.
    clock
        Ours.
    """

    def __init__(self, client: Any, prefix: str, clock: Clock) -> None:
        self._client = client
        self._prefix = prefix.rstrip("/")
        self._clock = clock
        self._cached: dict[tuple[str, KeyUse], _Cached] = {}
        self._locks: defaultdict[tuple[str, KeyUse], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, venue: str, use: KeyUse) -> Credentials:
        if use is KeyUse.READ:
            own = await self._look(venue, KeyUse.READ)
            if own is not None:
                return own
        shared = await self._look(venue, KeyUse.TRADE)
        if shared is None:
            raise CredentialsError(venue, f"there is no secret {self._prefix}/{venue}")
        return shared

    def refused(self, credentials: Credentials) -> None:
        name = (credentials.venue, credentials.use)
        cached = self._cached.get(name)
        if cached is not None and cached.credentials == credentials:
            self._cached[name] = _Cached(credentials, cached.read_at_ms, refused=True)

    async def _look(self, venue: str, use: KeyUse) -> Credentials | None:
        # Many requests at once need one look.
        async with self._locks[venue, use]:
            cached = self._cached.get((venue, use))
            if cached is not None and self._is_good(cached):
                return cached.credentials
            now_ms = self._clock.now_ms()
            try:
                found = await self._read(venue, use)
            except _UnreachableError:
                # A key that the venue still accepts is better than none.
                if cached is None or cached.refused:
                    raise
                found = cached.credentials
            self._cached[venue, use] = _Cached(found, now_ms)
            return found

    def _is_good(self, cached: _Cached) -> bool:
        age_ms = self._clock.now_ms() - cached.read_at_ms
        return age_ms < (RE_READ_AFTER_MS if cached.refused else CACHED_FOR_MS)

    async def _read(self, venue: str, use: KeyUse) -> Credentials | None:
        name = f"{self._prefix}/{venue}" + (f"/{_READING}" if use is KeyUse.READ else "")
        try:
            answer = await asyncio.to_thread(self._client.get_secret_value, SecretId=name)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == _NOT_FOUND:
                return None
            raise _UnreachableError(venue, f"{name}: {code}") from None
        except BotoCoreError as error:
            raise _UnreachableError(venue, f"{name}: {type(error).__name__}") from None
        text = answer.get("SecretString")
        if not isinstance(text, str):
            raise CredentialsError(venue, f"{name}: expected text, not binary content")
        return parse_credentials(text, venue, use)


def parse_credentials(text: str, venue: str, use: KeyUse) -> Credentials:
    """Read a secret's text.

    Raises
    ------
    CredentialsError
        If it is in none of the forms; it says what is missing and shows nothing of what is there.
    """
    try:
        stored = _STORED.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        problem = 'expected a JSON object {"api_key": "...", "api_secret": "..."}'
        raise CredentialsError(venue, problem) from None
    api_key = (stored.api_key or stored.name or stored.id).strip()
    api_secret = (stored.api_secret or stored.private_key).strip()
    for name, value in (("api_key", api_key), ("api_secret", api_secret)):
        if not value:
            raise CredentialsError(venue, f"{name}: expected a text that is not empty")
    if not api_key.isascii() or not api_key.isprintable():
        raise CredentialsError(venue, "api_key: expected printable ASCII")
    if not api_secret.isascii():
        raise CredentialsError(venue, "api_secret: expected ASCII")
    return Credentials(venue, use, api_key, api_secret)
