"""The simulated venues for a test: started on a free port, with clients that sign by themselves.

The signing here is written from the venues' documentation and shares nothing with the simulation's
own checks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.venues import ManualClock, RunningVenues, VenuesConfig, start

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
BOOK = {
    "bids": [["99.00", "1"], ["98.00", "2"]],
    "asks": [["101.00", "1"], ["102.00", "2"], ["103.00", "4"]],
}
"""A book small enough to reckon with; its symbol must take whole sizes at such prices."""


@dataclass
class Stage:
    """Running venues and a client of them."""

    venues: RunningVenues
    client: httpx.AsyncClient
    clock: ManualClock
    keys: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    nonce: int = 1

    async def sim(self, method: str, path: str, document: object = None) -> Any:
        answer = await self.client.request(method, f"/sim/{path}", json=document)
        answer.raise_for_status()
        return answer.json()

    async def fault(self, **fault: object) -> None:
        await self.sim("POST", "faults", fault)

    async def place_book(self, venue: str, symbol: str, book: dict[str, Any] | None = None) -> None:
        await self.sim("POST", "books", {"venue": venue, "symbol": symbol, **(book or BOOK)})

    async def key(self, venue: str, name: str = "trading") -> dict[str, str]:
        if name not in self.keys:
            self.keys[name] = await self.sim("GET", f"credentials?key={name}")
        return self.keys[name][venue]

    async def balance(self, venue: str, asset: str) -> tuple[str, str]:
        balance = (await self.sim("GET", "balances"))[venue][asset]
        return balance["free"], balance["held"]

    # Binance

    async def binance(self, method: str, path: str, key: str = "trading", **params: object) -> httpx.Response:
        query = urlencode({"timestamp": self.clock.now_ms(), **params})
        pair = await self.key("binance", key)
        if key == "ed25519":
            private = load_pem_private_key(pair["api_secret"].encode(), password=None)
            assert isinstance(private, Ed25519PrivateKey)
            signature = base64.b64encode(private.sign(query.encode())).decode()
        else:
            signature = hmac.new(pair["api_secret"].encode(), query.encode(), hashlib.sha256).hexdigest()
        return await self.client.request(
            method,
            f"/binance/api/v3/{path}?{query}&{urlencode({'signature': signature})}",
            headers={"X-MBX-APIKEY": pair["api_key"]},
        )

    # Coinbase

    async def coinbase(
        self, method: str, path: str, document: object = None, key: str = "trading", **claims: object
    ) -> httpx.Response:
        pair = await self.key("coinbase", key)
        bare = f"/api/v3/brokerage/{path}".partition("?")[0]
        now_s = self.clock.now_ms() // 1000
        token = coinbase_token(
            pair["api_key"],
            pair["api_secret"],
            {
                "sub": pair["api_key"],
                "iss": "cdp",
                "nbf": now_s,
                "exp": now_s + 120,
                "uri": f"{method} api.coinbase.com{bare}",
                **claims,
            },
        )
        return await self.client.request(
            method,
            f"/coinbase/api/v3/brokerage/{path}",
            content=None if document is None else json.dumps(document),
            headers={"Authorization": f"Bearer {token}"},
        )

    # Kraken

    async def kraken(self, path: str, key: str = "trading", **params: object) -> Any:
        self.nonce += 1
        return await self.kraken_with_nonce(self.nonce, path, key, **params)

    async def kraken_with_nonce(self, nonce: int, path: str, key: str = "trading", **params: object) -> Any:
        pair = await self.key("kraken", key)
        body = urlencode({"nonce": nonce, **params})
        digest = hashlib.sha256(f"{nonce}{body}".encode()).digest()
        signature = hmac.new(
            base64.b64decode(pair["api_secret"]), f"/0/private/{path}".encode() + digest, hashlib.sha512
        )
        answer = await self.client.post(
            f"/kraken/0/private/{path}",
            content=body,
            headers={
                "API-Key": pair["api_key"],
                "API-Sign": base64.b64encode(signature.digest()).decode(),
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        assert answer.status_code == 200
        return answer.json()


def coinbase_token(name: str, secret: str, claims: dict[str, Any]) -> str:
    pem = secret.startswith("-----")
    header = {"alg": "ES256" if pem else "EdDSA", "kid": name, "nonce": secrets.token_hex(16), "typ": "JWT"}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims)).encode()
    if pem:
        private = load_pem_private_key(secret.encode(), password=None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    else:
        signature = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret)[:32]).sign(signed)
    return f"{signed.decode()}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@asynccontextmanager
async def on_stage(config: VenuesConfig | None = None) -> AsyncIterator[Stage]:
    """Venues on a free port whose clock stands until the test moves it; no rate limits unless asked for."""
    clock = ManualClock()
    venues = await start(replace(config or VenuesConfig(rate_limits=False), port=0, clock=clock))
    try:
        async with httpx.AsyncClient(base_url=venues.url, timeout=10) as client:
            yield Stage(venues, client, clock)
    finally:
        await venues.aclose()
