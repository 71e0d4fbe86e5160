"""The simulated venues check signatures as published: the vectors of the venues' own documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.venues.credentials import ApiKey, KeyName, Keyring, Permission
from local.venues.dialects.binance.auth import hmac_signature
from local.venues.dialects.kraken.auth import signature
from local.venues.markets import Venue

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "vectors"


def vector(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text())


def test_binances_published_signature() -> None:
    for each in vector("binance.json")["hmac_sha256"]:
        assert hmac_signature(each["secret_key"], each["payload"].encode()) == each["signature"]


def test_krakens_published_signature() -> None:
    for each in vector("kraken.json")["vectors"]:
        payload = each["encoded_payload"].encode()
        assert signature(each["private_key"], each["uri_path"], each["nonce"], payload) == each["api_sign"]


def test_keys_depend_on_seed_venue_name_and_generation_alone() -> None:
    def keys(seed: int, generation: int) -> dict[str, ApiKey]:
        return {
            f"{venue} {name}": key
            for venue in Venue
            for name, key in Keyring(venue, seed, generation).by_name.items()
        }

    assert keys(1, 0) == keys(1, 0)
    every = [*keys(1, 0).values(), *keys(2, 0).values(), *keys(1, 1).values()]
    assert len({key.api_key for key in every}) == len(every)
    assert len({key.api_secret for key in every}) == len(every)


def test_keys_have_the_form_in_which_users_paste_them() -> None:
    coinbase = Keyring(Venue.COINBASE, 1).by_name
    private = load_pem_private_key(coinbase[KeyName.TRADING].api_secret.encode(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert coinbase[KeyName.TRADING].api_secret.startswith("-----BEGIN EC PRIVATE KEY-----")
    assert len(coinbase[KeyName.ED25519].api_secret) == 88
    assert KeyName.ED25519 not in Keyring(Venue.KRAKEN, 1).by_name
    assert len(Keyring(Venue.BINANCE, 1).by_name[KeyName.TRADING].api_secret) == 64


def test_a_secret_is_not_in_a_keys_repr() -> None:
    for venue in Venue:
        for key in Keyring(venue, 1).by_name.values():
            assert key.api_secret not in repr(key)


def test_only_the_reading_key_cannot_trade() -> None:
    for venue in Venue:
        for name, key in Keyring(venue, 1).by_name.items():
            assert (Permission.TRADE in key.permissions) == (name is not KeyName.READING)
