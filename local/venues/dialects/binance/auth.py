"""Binance's signatures and their time window (Binance Spot API docs, "Request Security").

The payload is the query string and the body, one after the other, without the parameter
`signature`; an HMAC key signs it with HMAC-SHA256 in hex, an Ed25519 key with base64. A request is
taken if ``timestamp < server time + 1000`` and ``server time - timestamp <= recvWindow``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from urllib.parse import unquote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.venues.credentials import Algorithm, ApiKey, Permission
from local.venues.dialects.binance.wire import BinanceError
from local.venues.exchange import ExchangeView
from local.venues.web import ApiRequest

_AHEAD_MS = 1000
_WINDOW_MS = 5000
_LONGEST_WINDOW_MS = 60_000
_TIME = re.compile(r"[0-9]{1,16}", re.ASCII)


def authenticate(request: ApiRequest, view: ExchangeView, permission: Permission) -> None:
    """Let a signed request pass, or raise the `BinanceError` that says why not."""
    api_key = request.headers.get("x-mbx-apikey", "")
    if not re.fullmatch(r"[A-Za-z0-9]{64}", api_key, re.ASCII):
        raise BinanceError(-2014, "API-key format invalid.", status=401)
    key = view.exchange.keyring.find(api_key)
    if key is None or permission not in key.permissions:
        raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    values = {**dict(request.form), **dict(request.query)}
    for name in ("timestamp", "signature"):
        if not values.get(name):
            message = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            raise BinanceError(-1102, message)
    _check_time(values["timestamp"], values.get("recvWindow"), view.now_ms)
    payload, signature = _split(request)
    if not _is_signed(key, payload, signature):
        raise BinanceError(-1022, "Signature for this request is not valid.")


def _check_time(timestamp: str, window: str | None, now_ms: int) -> None:
    for name, text in (("timestamp", timestamp), ("recvWindow", window)):
        if text is not None and _TIME.fullmatch(text) is None:
            message = f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
            raise BinanceError(-1100, message)
    window_ms = _WINDOW_MS if window is None else int(window)
    if window_ms > _LONGEST_WINDOW_MS:
        raise BinanceError(-1131, "recvWindow must be less than 60000.")
    if int(timestamp) >= now_ms + _AHEAD_MS:
        raise BinanceError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - int(timestamp) > window_ms:
        raise BinanceError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _split(request: ApiRequest) -> tuple[bytes, str]:
    """What was signed, as it stood in the request, and the signature."""
    signature = ""
    payload = b""
    for part in (request.raw_query.encode(), request.body):
        kept = []
        for pair in part.split(b"&"):
            if pair.startswith(b"signature="):
                signature = unquote_plus(pair.removeprefix(b"signature=").decode("ascii", "replace"))
            else:
                kept.append(pair)
        payload += b"&".join(kept)
    return payload, signature


def _is_signed(key: ApiKey, payload: bytes, signature: str) -> bool:
    if key.algorithm is Algorithm.HMAC:
        return hmac.compare_digest(hmac_signature(key.api_secret, payload), signature.lower())
    private = load_pem_private_key(key.api_secret.encode(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        return False
    try:
        private.public_key().verify(base64.b64decode(signature, validate=True), payload)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def hmac_signature(secret: str, payload: bytes) -> str:
    """The signature that Binance expects of an HMAC key."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
