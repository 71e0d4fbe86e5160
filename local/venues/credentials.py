"""The keys with which clients sign: made from the seed, good for nothing but this simulation."""

from __future__ import annotations

import base64
import hashlib
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from local.venues.markets import Venue


class Algorithm(StrEnum):
    """How a key signs."""

    HMAC = "hmac"
    ES256 = "es256"
    ED25519 = "ed25519"


class Permission(StrEnum):
    """What a key may be used for."""

    READ = "read"
    TRADE = "trade"


class KeyName(StrEnum):
    """The keys that every account has."""

    TRADING = "trading"
    """Everything, in the venue's usual algorithm."""
    READING = "reading"
    """Questions only."""
    SECOND = "second"
    """Everything, another key of the same account: for a second sender with nonces of its own."""
    ED25519 = "ed25519"
    """Everything, signing with Ed25519 (not at Kraken)."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its user has it."""

    api_key: str
    api_secret: str = field(repr=False)
    algorithm: Algorithm
    permissions: frozenset[Permission]


class Keyring:
    """The keys of a venue's one account, and the nonces used with them."""

    def __init__(self, venue: Venue, seed: int, generation: int = 0) -> None:
        self.generation = generation
        self.by_name: Mapping[KeyName, ApiKey] = {
            name: _MAKERS[venue](_Entropy(f"{seed}/{venue}/{name}/{generation}"), name)
            for name in KeyName
            if not (name is KeyName.ED25519 and venue is Venue.KRAKEN)
        }
        self._by_api_key = {key.api_key: key for key in self.by_name.values()}
        self._nonces: dict[str, int] = {}

    def find(self, api_key: str) -> ApiKey | None:
        """The key of that public name."""
        return self._by_api_key.get(api_key)

    def use_nonce(self, api_key: str, nonce: int) -> bool:
        """Accept a nonce if it is above every one used with that key before."""
        if nonce <= self._nonces.get(api_key, -1):
            return False
        self._nonces[api_key] = nonce
        return True


class _Entropy:
    """Bytes that depend on a name alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def bytes(self, label: str, length: int) -> bytes:
        return hashlib.shake_256(f"{self._name}/{label}".encode()).digest(length)

    def letters(self, label: str, length: int) -> str:
        alphabet = string.ascii_letters + string.digits
        return "".join(alphabet[byte % len(alphabet)] for byte in self.bytes(label, length))

    def uuid(self, label: str) -> str:
        return str(uuid.UUID(bytes=self.bytes(label, 16), version=4))


def _permissions(name: KeyName) -> frozenset[Permission]:
    return frozenset({Permission.READ} if name is KeyName.READING else Permission)


def _binance(entropy: _Entropy, name: KeyName) -> ApiKey:
    api_key = entropy.letters("key", 64)
    if name is KeyName.ED25519:
        private = Ed25519PrivateKey.from_private_bytes(entropy.bytes("secret", 32))
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return ApiKey(api_key, pem, Algorithm.ED25519, _permissions(name))
    return ApiKey(api_key, entropy.letters("secret", 64), Algorithm.HMAC, _permissions(name))


def _coinbase(entropy: _Entropy, name: KeyName) -> ApiKey:
    api_key = f"organizations/{entropy.uuid('organization')}/apiKeys/{entropy.uuid('key')}"
    if name is KeyName.ED25519:
        private = Ed25519PrivateKey.from_private_bytes(entropy.bytes("secret", 32))
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        both = base64.b64encode(entropy.bytes("secret", 32) + public).decode()
        return ApiKey(api_key, both, Algorithm.ED25519, _permissions(name))
    # 40 bytes, so that what the order of the curve leaves of them is as good as uniform.
    number = 1 + int.from_bytes(entropy.bytes("secret", 40), "big") % (_P256_ORDER - 1)
    key = ec.derive_private_key(number, ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return ApiKey(api_key, pem, Algorithm.ES256, _permissions(name))


def _kraken(entropy: _Entropy, name: KeyName) -> ApiKey:
    api_key = base64.b64encode(entropy.bytes("key", 42)).decode()
    secret = base64.b64encode(entropy.bytes("secret", 64)).decode()
    return ApiKey(api_key, secret, Algorithm.HMAC, _permissions(name))


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_MAKERS = {Venue.BINANCE: _binance, Venue.COINBASE: _coinbase, Venue.KRAKEN: _kraken}
