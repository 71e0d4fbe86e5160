"""Kraken's signatures and nonces (Kraken API Center, "Spot REST Authentication").

``API-Sign`` is ``base64(HMAC-SHA512(base64decode(secret), path + SHA256(nonce + body)))`` over the
body exactly as sent; the nonce must grow from request to request of one key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from local.venues.credentials import Permission
from local.venues.dialects.kraken.wire import KrakenError
from local.venues.exchange import ExchangeView
from local.venues.web import ApiRequest

_LARGEST_NONCE = 2**64 - 1


def authenticate(
    request: ApiRequest, given: Mapping[str, str], view: ExchangeView, permission: Permission
) -> None:
    """Let a signed request pass, or raise the `KrakenError` that says why not."""
    api_key = request.headers.get("api-key", "")
    key = view.exchange.keyring.find(api_key)
    if key is None:
        raise KrakenError("EAPI:Invalid key")
    nonce = given.get("nonce", "")
    if not (nonce.isascii() and nonce.isdecimal() and int(nonce[:21]) <= _LARGEST_NONCE):
        raise KrakenError("EAPI:Invalid nonce")
    expected = signature(key.api_secret, request.path, nonce, request.body)
    if not hmac.compare_digest(expected.encode(), request.headers.get("api-sign", "").encode()):
        raise KrakenError("EAPI:Invalid signature")
    if not view.exchange.keyring.use_nonce(api_key, int(nonce)):
        raise KrakenError("EAPI:Invalid nonce")
    if permission not in key.permissions:
        raise KrakenError("EGeneral:Permission denied")


def signature(secret: str, path: str, nonce: str, body: bytes) -> str:
    """The ``API-Sign`` that Kraken expects."""
    message = path.encode() + hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(base64.b64decode(secret), message, "sha512")).decode()
