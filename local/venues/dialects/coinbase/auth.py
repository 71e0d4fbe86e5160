"""Coinbase's tokens (Coinbase Developer Docs, "API key authentication").

Every request carries its own JWT: header ``{alg, kid, nonce, typ}``, claims ``{sub, iss, nbf, exp,
uri}``, good for two minutes at most and for one method and path: ``uri`` is ``GET
api.coinbase.com/api/v3/brokerage/accounts``. As clients of this simulation call another host, the
host they call and its prefix are taken there too.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.venues.credentials import Algorithm, ApiKey, Permission
from local.venues.dialects.coinbase.wire import CoinbaseError, UnauthorizedError
from local.venues.exchange import ExchangeView
from local.venues.markets import Venue
from local.venues.web import ApiRequest

_ALGORITHMS = {Algorithm.ES256: "ES256", Algorithm.ED25519: "EdDSA"}
_ISSUERS = {"cdp", "coinbase-cloud"}
_LONGEST_LIFE_S = 120
_LEEWAY_S = 5
"""How far a client's clock may be ahead (not published)."""


def authenticate(request: ApiRequest, view: ExchangeView, permission: Permission) -> None:
    """Let a request with a good token pass, or raise what says why not."""
    key, claims = _verified(request, view)
    now_s = view.now_ms / 1000
    try:
        not_before, expires = float(claims["nbf"]), float(claims["exp"])
        issuer, subject = claims["iss"], claims["sub"]
    except (KeyError, TypeError, ValueError):
        raise UnauthorizedError from None
    if not (not_before - _LEEWAY_S <= now_s < expires <= not_before + _LONGEST_LIFE_S):
        raise UnauthorizedError
    if issuer not in _ISSUERS or subject != key.api_key:
        raise UnauthorizedError
    if not _names(request) & {*_texts(claims.get("uri")), *_texts(claims.get("uris"))}:
        raise UnauthorizedError
    if permission not in key.permissions:
        raise CoinbaseError(403, "PERMISSION_DENIED", "Missing required scopes")


def _texts(claim: object) -> list[str]:
    values = claim if isinstance(claim, list) else [claim]
    return [value for value in values if isinstance(value, str)]


def _names(request: ApiRequest) -> set[str]:
    """What a token for this request may call it."""
    here = f"{request.headers.get('host', '')}/{Venue.COINBASE}{request.path}"
    places = (f"api.coinbase.com{request.path}", here, f"http://{here}")
    return {f"{request.method} {place}" for place in places}


def key_named(request: ApiRequest) -> str:
    """The key that a token claims to be of, believed without proof: whom a rate limit counts."""
    try:
        header = _json_part(_token(request).split(".")[0])
    except UnauthorizedError:
        return ""
    return str(header.get("kid", ""))


def _token(request: ApiRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise UnauthorizedError
    return token


def _verified(request: ApiRequest, view: ExchangeView) -> tuple[ApiKey, dict[str, Any]]:
    """The key that signed the token and what the token claims."""
    token = _token(request)
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        raise UnauthorizedError
    header, claims, signature = _json_part(parts[0]), _json_part(parts[1]), _bytes(parts[2])
    key = view.exchange.keyring.find(str(header.get("kid")))
    if key is None or header.get("alg") != _ALGORITHMS[key.algorithm]:
        raise UnauthorizedError
    signed = f"{parts[0]}.{parts[1]}".encode()
    try:
        if key.algorithm is Algorithm.ED25519:
            _verify_ed25519(key, signature, signed)
        else:
            _verify_es256(key, signature, signed)
    except InvalidSignature:
        raise UnauthorizedError from None
    return key, claims


def _verify_es256(key: ApiKey, signature: bytes, signed: bytes) -> None:
    private = load_pem_private_key(key.api_secret.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or len(signature) != 64:  # noqa: PLR2004 - r, s
        raise InvalidSignature
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    private.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))


def _verify_ed25519(key: ApiKey, signature: bytes, signed: bytes) -> None:
    seed = base64.b64decode(key.api_secret)[:32]
    Ed25519PrivateKey.from_private_bytes(seed).public_key().verify(signature, signed)


def _bytes(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise UnauthorizedError from None


def _json_part(part: str) -> dict[str, Any]:
    try:
        document = json.loads(_bytes(part))
    except ValueError:
        raise UnauthorizedError from None
    if not isinstance(document, dict):
        raise UnauthorizedError
    return document
