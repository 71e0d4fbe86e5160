"""What a venue's API wants to be signed with, in a form that does not show itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum


class KeyUse(StrEnum):
    """What a key is asked for; venues let one account have several with different permissions."""

    READ = "read"
    """Questions about the account."""
    TRADE = "trade"
    """Placing and cancelling."""


class CredentialsError(Exception):
    """There are no usable credentials. The text names the venue and what is wrong, never a content."""

    def __init__(self, venue: str, problem: str) -> None:
        super().__init__(f"{venue}: {problem}")
        self.venue = venue
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Credentials:
    """One key of one venue. Neither its repr nor any error of this project shows key or secret."""

    venue: str
    use: KeyUse
    """What the key was made for: TRADE also where reading has no key of its own and shares this one."""
    api_key: str = field(repr=False)
    """The key's public name; at Coinbase ``organizations/.../apiKeys/...``."""
    api_secret: str = field(repr=False)
    """The shared secret, or the private key as its user pasted it."""

    @property
    def key_id(self) -> str:
        """A name for the key that is fit for logs and counters: it tells keys apart, not what they are."""
        return hashlib.sha256(f"{self.venue}/{self.api_key}".encode()).hexdigest()[:16]
