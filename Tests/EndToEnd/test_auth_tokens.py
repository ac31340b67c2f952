"""Signed tokens as passwords."""

import base64
import hashlib
import hmac
import json
import signal
import time

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from servers import MynahServer, wait_until
from test_auth import LOGINS, psycopg3_login, rule

SECRET = "a secret of thirty-two bytes, or more"
KEYS = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "PS256": rsa.generate_private_key(public_exponent=65537, key_size=3072),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "HS256": SECRET,
}
STRANGERS = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "PS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "HS256": "another secret of thirty-two bytes or more",
}


def public_pem(algorithm: str) -> str:
    return KEYS[algorithm].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def token(algorithm: str = "ES256", key=None, headers=None, **claims) -> str:
    claims = {
        "iss": "https://idp.example/", "aud": "mynah", "sub": "postgres", "exp": time.time() + 60,
        **claims,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key or KEYS[algorithm], algorithm=algorithm, headers=headers)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    for algorithm in ("RS256", "PS256", "ES256", "EdDSA"):
        (directory / algorithm).write_text(public_pem(algorithm))
    (directory / "HS256").write_text(SECRET + "\n")
    return directory


@pytest.fixture(scope="module")
def server(postgres, keys):
    mynah = MynahServer(
        postgres.url(),
        auth={
            "max_failures": 0,
            "jwt": {
                "keys": [f"{algorithm}:{keys / algorithm}" for algorithm in KEYS],
                "issuer": "https://idp.example/", "audience": "mynah",
                "roles": {"postgres": "postgres", "alice@example.com": "scram_user"},
            },
            "rule": [rule("jwt")],
        },
    )
    try:
        yield mynah.start()
    finally:
        mynah.remove()


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.__name__.removesuffix("_login"))
@pytest.mark.parametrize("algorithm", KEYS)
def test_a_good_token_lets_in(server, login, algorithm):
    login(server, "postgres", token(algorithm))


@pytest.mark.parametrize("algorithm", KEYS)
def test_another_s_signature_does_not(server, algorithm):
    refused(server, token(algorithm, STRANGERS[algorithm]), "token_signature")


def refused(server, password: str, reason: str, user: str = "postgres"):
    before = server.metrics().total("mynah_login_failures_total", reason=reason)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed") as caught:
        psycopg3_login(server, user, password)
    # The client is not told which.
    assert reason not in str(caught.value) and "token" not in str(caught.value)
    assert server.metrics().total("mynah_login_failures_total", reason=reason) == before + 1


def test_what_is_wrong_with_a_token_is_counted(server):
    now = time.time()
    for reason, bad in (
        ("token_expired", token(exp=now - 60)),
        ("token_expired", token(nbf=now + 600)),
        ("token_claims", token(exp=None)),
        ("token_claims", token(iss="https://elsewhere.example/")),
        ("token_claims", token(aud="another")),
        ("token_claims", token(aud=None)),
        ("token_role", token(sub="alice")),
        ("token_role", token(sub=None)),
        ("token_malformed", "correct horse"),
        ("token_malformed", token() + "."),
        ("token_signature", token()[:-8] + "AAAAAAAA"),
        ("token_signature", jwt.encode({"sub": "postgres"}, None, algorithm="none")),
    ):
        refused(server, bad, reason)


def test_a_token_that_is_too_long_is_not_even_read(server):
    for length in (20_000, 1_000_000):
        with pytest.raises(psycopg.OperationalError):
            psycopg3_login(server, "postgres", token(padding="x" * length))
    assert server.metrics().total("mynah_login_failures_total", method="jwt", reason="protocol") == 2


def test_the_algorithm_is_the_key_s_and_not_the_token_s(server):
    """The public key, which is no secret, taken for one."""
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    for algorithm in ("RS256", "ES256"):
        claims = jwt.decode(token(), options={"verify_signature": False})
        message = part(b'{"alg":"HS256"}') + "." + part(json.dumps(claims).encode())
        signature = hmac.new(public_pem(algorithm).encode(), message.encode(), hashlib.sha256)
        refused(server, message + "." + part(signature.digest()), "token_signature")


def test_a_claim_is_mapped_to_a_role(own_mynah, server):
    refused(server, token(sub="alice@example.com"), "token_role")
    refused(server, token(sub="alice@example.com"), "token_role", user="alice@example.com")


def test_a_mapped_role_logs_in_as_the_upstream_allows(own_mynah, postgres, keys):
    mynah = own_mynah(
        postgres.url("scram_user", "correct%20horse"),
        auth={
            "jwt": {
                "keys": [f"ES256:{keys / 'ES256'}"], "issuer": "https://idp.example/",
                "audience": ["elsewhere", "mynah"], "claim": "groups",
                "roles": {"admins": "scram_user"},
            },
            "rule": [rule("jwt")],
        },
    ).start()
    psycopg3_login(mynah, "scram_user", token(groups=["users", "admins"]))
    refused(mynah, token(groups=["users"]), "token_role", user="scram_user")


def test_a_key_set_is_read_and_replaced_on_sighup(own_mynah, postgres, tmp_path):
    def write(key):
        entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        (tmp_path / "set.json").write_text(json.dumps({"keys": [{**entry, "kid": "current"}]}))

    write(KEYS["ES256"])
    mynah = own_mynah(
        postgres.url(),
        auth={
            "max_failures": 0,
            "jwt": {
                "keys": [f"JWKS:{tmp_path / 'set.json'}"], "issuer": "https://idp.example/",
                "audience": "mynah",
            },
            "rule": [rule("jwt")],
        },
    ).start()
    psycopg3_login(mynah, "postgres", token(headers={"kid": "current"}))
    refused(mynah, token(headers={"kid": "other"}), "token_signature")
    write(STRANGERS["ES256"])
    mynah.signal(signal.SIGHUP)

    def replaced():
        try:
            psycopg3_login(mynah, "postgres", token(key=STRANGERS["ES256"]))
            return True
        except psycopg.OperationalError:
            return False

    wait_until(replaced, "the new key holds")
    refused(mynah, token(), "token_signature")
