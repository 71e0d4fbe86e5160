"""Signatures: the venues' published ones are reproduced, tokens verify with the public key."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sor_core.adapters.http import SignedCall
from sor_core.adapters.venues import private_keys
from sor_core.adapters.venues.binance import signing as binance
from sor_core.adapters.venues.calls import FORM, JSON, Call
from sor_core.adapters.venues.coinbase import signing as coinbase
from sor_core.adapters.venues.kraken import signing as kraken
from sor_core.domain.credentials import Credentials, CredentialsError, KeyUse
from sor_core.domain.trading import SendWindow

VECTORS = Path(__file__).parents[3] / "shared" / "data" / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="../shared/data/vectors is absent")

WINDOW = SendWindow(1_700_000_000_400, 1_700_000_010_400)


def vectors(venue: str) -> Any:
    return json.loads((VECTORS / f"{venue}.json").read_bytes())


def credentials(secret: str, api_key: str = "key", venue: str = "binance") -> Credentials:
    return Credentials(venue, KeyUse.TRADE, api_key, secret)


def made_ed25519() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def pkcs8(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


# Binance


@needs_vectors
def test_binances_published_signature() -> None:
    [published] = vectors("binance")["hmac_sha256"]
    call = Call("POST", "/api/v3/order", body=published["payload"].encode(), content_type=FORM)
    signed = binance.signed(call, credentials(published["secret_key"], published["api_key"]))
    assert signed.body.decode() == f"{published['payload']}&signature={published['signature']}"
    assert signed.headers == {"x-mbx-apikey": published["api_key"], "content-type": FORM}


def test_binance_signs_query_and_body_as_one() -> None:
    secret = "s" * 64
    asked = binance.signed(Call("GET", "/x", query="a=1&b=%2F"), credentials(secret))
    assert asked.query == "a=1&b=%2F&signature=" + binance.hmac_signature(secret, b"a=1&b=%2F")
    assert asked.body == b""
    both = binance.signed(
        Call("POST", "/x", query="a=1", body=b"b=2", content_type=FORM), credentials(secret)
    )
    assert both.query == "a=1"
    assert both.body.decode() == "b=2&signature=" + binance.hmac_signature(secret, b"a=1b=2")
    assert binance.signed(Call("GET", "/x"), credentials(secret)).query.startswith("signature=")


def test_binances_ed25519_keys() -> None:
    key = made_ed25519()
    payload = b"symbol=BTCUSDT&timestamp=1"
    signed = binance.signed(Call("POST", "/x", body=payload, content_type=FORM), credentials(pkcs8(key)))
    assert signed.body.startswith(payload + b"&signature=")
    text = signed.body.decode().rpartition("=")[2]
    assert not set(text) & set("+/="), "base64 must be percent-encoded in a form"
    signature = dict(parse_qsl(signed.body.decode()))["signature"]
    key.public_key().verify(base64.b64decode(signature, validate=True), payload)


def test_binance_takes_no_ec_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(CredentialsError, match="api_secret"):
        binance.signed(Call("GET", "/x", query="a=1"), credentials(pkcs8(key)))


# Kraken


@needs_vectors
def test_krakens_published_signature() -> None:
    [published] = vectors("kraken")["vectors"]
    body = published["encoded_payload"].removeprefix(f"nonce={published['nonce']}&")
    call = Call("POST", published["uri_path"], body=body.encode(), content_type=FORM)
    made = kraken.signed(
        call, credentials(published["private_key"], "public", "kraken"), int(published["nonce"])
    )
    assert made.body.decode() == published["encoded_payload"]
    assert made.headers == {
        "api-key": "public",
        "api-sign": published["api_sign"],
        "content-type": FORM,
    }


def test_krakens_questions_without_parameters() -> None:
    secret = base64.b64encode(b"x" * 64).decode()
    made = kraken.signed(Call("POST", "/0/private/BalanceEx", content_type=FORM), credentials(secret), 17)
    assert made.body == b"nonce=17"
    assert made.headers["api-sign"] == kraken.api_sign(secret, "/0/private/BalanceEx", "17", b"nonce=17")


def test_krakens_secret_bears_the_line_ends_of_a_paste() -> None:
    secret = base64.b64encode(b"x" * 64).decode()
    pasted = secret[:40] + "\n" + secret[40:] + "\n"
    assert kraken.api_sign(pasted, "/p", "1", b"b") == kraken.api_sign(secret, "/p", "1", b"b")


@pytest.mark.parametrize("secret", ["not base64!", "abc", "ä"])
def test_krakens_secret_that_is_none(secret: str) -> None:
    with pytest.raises(CredentialsError, match="expected base64") as caught:
        kraken.api_sign(secret, "/0/private/AddOrder", "1", b"nonce=1")
    assert secret not in str(caught.value)


# Coinbase


def part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token_of(signed: SignedCall) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, what is signed, and the signature."""
    scheme, _, token = signed.headers["authorization"].partition(" ")
    assert scheme == "Bearer"
    assert "=" not in token
    header, claims, signature = token.split(".")
    return json.loads(part(header)), json.loads(part(claims)), f"{header}.{claims}".encode(), part(signature)


def coinbase_signed(secret: str, call: Call | None = None) -> SignedCall:
    call = call or Call("GET", "/api/v3/brokerage/accounts", query="limit=250")
    return coinbase.signed(call, credentials(secret, "organizations/o/apiKeys/k", "coinbase"), WINDOW, "5e")


def verify_es256(public: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> None:
    assert len(signature) == 64
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


@needs_vectors
def test_coinbases_es256_tokens_verify() -> None:
    pem = vectors("coinbase")["test_keys"]["es256_pem"]
    private = load_pem_private_key(pem.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    header, claims, message, signature = token_of(coinbase_signed(pem))
    assert header == {"alg": "ES256", "kid": "organizations/o/apiKeys/k", "nonce": "5e", "typ": "JWT"}
    assert claims == {
        "sub": "organizations/o/apiKeys/k",
        "iss": "cdp",
        "nbf": 1_700_000_000,
        "exp": 1_700_000_010,
        "uri": "GET api.coinbase.com/api/v3/brokerage/accounts",
    }
    verify_es256(private.public_key(), signature, message)
    with pytest.raises(InvalidSignature):
        verify_es256(private.public_key(), signature, message + b"x")


def test_es256_signatures_keep_their_leading_zeros() -> None:
    """r and s are numbers: one in 128 signatures has one that begins with a zero byte."""
    key = ec.generate_private_key(ec.SECP256R1())
    signing = private_keys.signing_key(pkcs8(key))
    for number in range(600):
        message = b"%d" % number
        verify_es256(key.public_key(), signing.sign(message), message)


@needs_vectors
@pytest.mark.parametrize(
    "form",
    ["ed25519_base64_64bytes", "ed25519_pkcs8_pem_same_key", "ed25519_seed_base64_same_key"],
)
def test_coinbases_ed25519_tokens_verify_whatever_form_the_key_has(form: str) -> None:
    keys = vectors("coinbase")["test_keys"]
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys["ed25519_base64_64bytes"])[32:])
    header, _, message, signature = token_of(coinbase_signed(keys[form]))
    assert header["alg"] == "EdDSA"
    public.verify(signature, message)


def test_coinbases_orders_carry_a_body_that_the_token_does_not_name() -> None:
    call = Call("POST", "/api/v3/brokerage/orders", body=b'{"a":1}', content_type=JSON)
    signed = coinbase_signed(pkcs8(made_ed25519()), call)
    _, claims, _, _ = token_of(signed)
    assert claims["uri"] == "POST api.coinbase.com/api/v3/brokerage/orders"
    assert signed.headers["content-type"] == JSON
    assert signed.body == b'{"a":1}'


def ec_pem(form: PrivateFormat) -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
    return key, key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


PASTES: dict[str, Callable[[str], str]] = {
    "as it is": lambda pem: pem,
    "without its last line end": lambda pem: pem.strip(),
    "Windows line ends": lambda pem: pem.replace("\n", "\r\n"),
    "line ends written out": lambda pem: pem.replace("\n", "\\n"),
    "line ends written out, Windows": lambda pem: pem.replace("\n", "\\r\\n"),
    "on one line with blanks": lambda pem: " ".join(pem.split("\n")),
    "without any line end": lambda pem: pem.replace("\n", ""),
    "in quotes, indented": lambda pem: '"' + pem.replace("\n", "\n    ") + '"',
}


@pytest.mark.parametrize("paste", PASTES)
@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_pem_keys_as_users_paste_them(paste: str, form: PrivateFormat) -> None:
    key, pem = ec_pem(form)
    signing = private_keys.signing_key(PASTES[paste](pem))
    assert signing.algorithm is private_keys.Algorithm.ES256
    verify_es256(key.public_key(), signing.sign(b"message"), b"message")


@pytest.mark.parametrize("paste", PASTES)
def test_ed25519_pem_keys_as_users_paste_them(paste: str) -> None:
    key = made_ed25519()
    signing = private_keys.signing_key(PASTES[paste](pkcs8(key)))
    assert signing.algorithm is private_keys.Algorithm.EDDSA
    key.public_key().verify(signing.sign(b"message"), b"message")


def encrypted() -> str:
    key = made_ed25519()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")).decode()


def another_curve() -> str:
    return pkcs8(ec.generate_private_key(ec.SECP384R1()))


def rsa_key() -> str:
    return pkcs8(rsa.generate_private_key(65537, 2048))


def mixed_halves() -> str:
    return base64.b64encode(bytes(range(32)) + bytes(32)).decode()


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "a shared secret",
        base64.b64encode(b"x" * 31).decode(),
        mixed_halves(),
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----",
        pytest.param(encrypted(), id="encrypted"),
        pytest.param(another_curve(), id="P-384"),
        pytest.param(rsa_key(), id="RSA"),
    ],
)
def test_secrets_that_are_no_key(secret: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        coinbase_signed(secret)
    error: BaseException | None = caught.value
    while error is not None:
        shown = f"{error} {error!r}"
        assert not [line for line in secret.split("\n") if len(line) > 8 and line in shown]
        error = error.__cause__
    assert str(caught.value).startswith("coinbase: api_secret: ")


# Nothing shows itself


def test_reprs_show_no_secret() -> None:
    mine = Credentials("binance", KeyUse.TRADE, "PUBLICNAME", "HIDDEN")
    signing = private_keys.signing_key(pkcs8(made_ed25519()))
    signed = binance.signed(Call("GET", "/x", query="a=1"), mine)
    shown = " ".join(map(repr, (mine, signing, signed, {"credentials": mine}))) + str(mine) + f"{signed}"
    assert "HIDDEN" not in shown
    assert "PUBLICNAME" not in shown
    assert signed.query.rpartition("=")[2] not in shown
    assert "PUBLICNAME" not in mine.key_id


def test_key_ids_tell_keys_apart() -> None:
    ids = {
        Credentials(venue, KeyUse.TRADE, api_key, "s").key_id
        for venue in ("kraken", "binance")
        for api_key in ("one", "two")
    }
    assert len(ids) == 4
    same = [Credentials("kraken", use, "one", secret).key_id for use in KeyUse for secret in "ab"]
    assert len(set(same)) == 1


def test_the_cryptographic_library_is_imported_only_for_keys_that_need_it() -> None:
    program = """
import sys
from sor_core.adapters.venues import trading_registry
from sor_core.adapters.venues.binance import signing as binance
from sor_core.adapters.venues.calls import Call
from sor_core.adapters.venues.kraken import signing as kraken
from sor_core.domain.credentials import Credentials, KeyUse
key = Credentials("x", KeyUse.TRADE, "key", "c2VjcmV0")
binance.signed(Call("GET", "/x", query="a=1"), key)
kraken.signed(Call("POST", "/x"), key, 1)
assert "cryptography" not in sys.modules
"""
    core = Path(__file__).parents[2] / "layers" / "sor_core"
    subprocess.run([sys.executable, "-c", program], cwd=core, check=True, timeout=60)  # noqa: S603 - our own
