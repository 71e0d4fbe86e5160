"""Kraken's signatures ("Spot REST Authentication" of its API documentation)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from sor_core.adapters.http import SignedCall
from sor_core.adapters.venues.calls import Call
from sor_core.adapters.venues.kraken import facts
from sor_core.domain.credentials import Credentials, CredentialsError


def signed(call: Call, credentials: Credentials, nonce: int) -> SignedCall:
    """Put the nonce before a form and sign both.

    Raises
    ------
    CredentialsError
        If the secret is not base64.
    """
    body = f"nonce={nonce}".encode() + (b"&" + call.body if call.body else b"")
    headers = {
        facts.KEY_HEADER: credentials.api_key,
        facts.SIGNATURE_HEADER: api_sign(credentials.api_secret, call.path, str(nonce), body),
        "content-type": call.content_type,
    }
    return SignedCall(call.method, call.path, headers, "", body, call.counted_by)


def api_sign(secret: str, path: str, nonce: str, body: bytes) -> str:
    """Sign: base64 of HMAC-SHA512, with the decoded secret, over the path and SHA-256(nonce + body)."""
    try:
        key = base64.b64decode("".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        raise CredentialsError(facts.VENUE, "api_secret: expected base64") from None
    message = path.encode() + hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(key, message, "sha512")).decode()
