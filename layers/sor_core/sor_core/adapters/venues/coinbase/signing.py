"""Coinbase's tokens ("Coinbase App API Key Authentication" of the CDP documentation).

A JSON Web Token is three base64 texts and a signature: thirty lines over the cryptographic library
that the keys need anyway. A library for tokens would bring its verification, its key sets and
another import to every cold start, and we verify none.
"""

from __future__ import annotations

import base64

import msgspec

from sor_core.adapters.http import SignedCall
from sor_core.adapters.venues import private_keys
from sor_core.adapters.venues.calls import Call
from sor_core.adapters.venues.coinbase import facts
from sor_core.domain.credentials import Credentials, CredentialsError
from sor_core.domain.trading import SendWindow

_encode = msgspec.json.encode


def signed(call: Call, credentials: Credentials, window: SendWindow, nonce: str) -> SignedCall:
    """Give a request its token, which is good for its method and path and within the window.

    Parameters
    ----------
    call
        The request; the token says nothing of its query and body.
    credentials
        A key on P-256 (ES256) or an Ed25519 key (EdDSA).
    window
        Its end is cut down to the whole second: the token never lives longer than it says.
    nonce
        Random, used once.

    Raises
    ------
    CredentialsError
        If the secret is no such key.
    """
    headers = {"authorization": f"Bearer {token(call.method, call.path, credentials, window, nonce)}"}
    if call.body:
        headers["content-type"] = call.content_type
    return SignedCall(call.method, call.path, headers, call.query, call.body, call.counted_by)


def token(method: str, path: str, credentials: Credentials, window: SendWindow, nonce: str) -> str:
    """Make the token of a request; raises `CredentialsError`."""
    try:
        key = private_keys.signing_key(credentials.api_secret)
    except private_keys.KeyFormError as error:
        raise CredentialsError(facts.VENUE, f"api_secret: {error}") from None
    header = {"alg": key.algorithm, "kid": credentials.api_key, "nonce": nonce, "typ": "JWT"}
    claims = {
        "sub": credentials.api_key,
        "iss": facts.ISSUER,
        "nbf": window.opens_at_ms // 1000,
        "exp": window.closes_at_ms // 1000,
        "uri": f"{method} {facts.AUDIENCE}{path}",
    }
    message = _part(_encode(header)) + b"." + _part(_encode(claims))
    return (message + b"." + _part(key.sign(message))).decode("ascii")


def _part(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
