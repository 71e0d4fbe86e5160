"""Private keys in the forms in which users paste them.

The library behind them takes some 55 ms to import and most keys need none of it (Kraken's and
Binance's shared secrets), so it is imported where a key is first read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_LINE = 64
_SEED_BYTES = 32
_SEED_AND_PUBLIC_BYTES = 64
_P256_BYTES = 32


class KeyFormError(ValueError):
    """A text that is no private key of a kind that a venue takes. Says what, never the text."""


class Algorithm(StrEnum):
    """How a private key signs, in the names of JSON Web Algorithms (RFC 7518, RFC 8037)."""

    ES256 = "ES256"
    """ECDSA on P-256 over SHA-256."""
    EDDSA = "EdDSA"
    """Ed25519."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, good for nothing but signing."""

    algorithm: Algorithm
    sign: Callable[[bytes], bytes] = field(repr=False)
    """Gives the signature's 64 bytes (of ES256 r and s, RFC 7518, 3.4)."""


def is_pem(text: str) -> bool:
    """Whether a secret is a private key in PEM rather than a shared secret."""
    return "-----BEGIN" in text


@lru_cache(maxsize=8)
def signing_key(text: str) -> SigningKey:
    r"""Read a private key: Ed25519, or EC on P-256.

    Parameters
    ----------
    text
        PEM (``EC PRIVATE KEY`` or PKCS8), its line ends as they are, written as the two characters
        ``\n``, turned into blanks or lost; or Coinbase's base64 of an Ed25519 seed (32 bytes) and
        its public key (32 more, which may be missing).

    Raises
    ------
    KeyFormError
        If it is neither, or encrypted, or of another algorithm or curve.
    """
    return _from_pem(text) if is_pem(text) else _from_base64(text)


def _from_pem(text: str) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see the module
    from cryptography.hazmat.primitives.asymmetric.ec import (  # noqa: PLC0415
        SECP256R1,
        EllipticCurvePrivateKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(_whole_pem(text).encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the library says might show parts of the key.
        raise KeyFormError("not a private key in PEM, or an encrypted one") from None
    if isinstance(key, Ed25519PrivateKey):
        return SigningKey(Algorithm.EDDSA, key.sign)
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return _es256(key)
    raise KeyFormError("a private key that is neither Ed25519 nor EC on P-256")


def _es256(key: EllipticCurvePrivateKey) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415 - see the module
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ECDSA(SHA256())))
        return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")

    return SigningKey(Algorithm.ES256, sign)


def _whole_pem(text: str) -> str:
    """Give a PEM its line ends back."""
    found = _PEM.search(text.replace("\\r", "").replace("\\n", "\n"))
    if found is None:
        raise KeyFormError("a PEM without its end")
    label, content = found[1], "".join(found[2].split())
    lines = [content[start : start + _LINE] for start in range(0, len(content), _LINE)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))


def _from_base64(text: str) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - see the module
        Ed25519PrivateKey,
    )

    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise KeyFormError("neither PEM nor base64") from None
    if len(content) not in {_SEED_BYTES, _SEED_AND_PUBLIC_BYTES}:
        raise KeyFormError("base64 of another length than an Ed25519 key's")
    key = Ed25519PrivateKey.from_private_bytes(content[:_SEED_BYTES])
    if content[_SEED_BYTES:] not in {b"", key.public_key().public_bytes_raw()}:
        raise KeyFormError("an Ed25519 key whose public half is another's")
    return SigningKey(Algorithm.EDDSA, key.sign)
