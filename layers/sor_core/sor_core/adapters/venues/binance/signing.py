"""Binance's signatures ("Request security" of its Spot REST API documentation)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

from sor_core.adapters.http import SignedCall
from sor_core.adapters.venues import private_keys
from sor_core.adapters.venues.binance import facts
from sor_core.adapters.venues.calls import Call
from sor_core.domain.credentials import Credentials, CredentialsError


def signed(call: Call, credentials: Credentials) -> SignedCall:
    """Sign a request: the signature becomes the last parameter of its body, or of its query.

    What is signed is the query and the body, one after the other, as they go out.

    Raises
    ------
    CredentialsError
        If the secret is a private key of another kind than Ed25519.
    """
    signature = quote(_signature(call.query.encode() + call.body, credentials), safe="")
    headers = {facts.KEY_HEADER: credentials.api_key}
    query, body = call.query, call.body
    if body:
        headers["content-type"] = call.content_type
        body += f"&signature={signature}".encode()
    else:
        query += f"&signature={signature}" if query else f"signature={signature}"
    return SignedCall(call.method, call.path, headers, query, body, call.counted_by)


def hmac_signature(secret: str, payload: bytes) -> str:
    """Sign with a shared secret: HMAC-SHA256 in hex."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def ed25519_signature(pem: str, payload: bytes) -> str:
    """Sign with an Ed25519 key in PEM: base64, to be percent-encoded; raises `KeyFormError`."""
    key = private_keys.signing_key(pem)
    if key.algorithm is not private_keys.Algorithm.EDDSA:
        raise private_keys.KeyFormError("Binance takes no EC keys")
    return base64.b64encode(key.sign(payload)).decode()


def _signature(payload: bytes, credentials: Credentials) -> str:
    if not private_keys.is_pem(credentials.api_secret):
        return hmac_signature(credentials.api_secret, payload)
    try:
        return ed25519_signature(credentials.api_secret, payload)
    except private_keys.KeyFormError as error:
        raise CredentialsError(facts.VENUE, f"api_secret: {error}") from None
