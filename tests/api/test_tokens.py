"""Logging in, and the bearer tokens that are not accepted."""

import base64
import dataclasses
import time

import pytest
from argon2 import PasswordHasher, extract_parameters

from customers import passwords
from tests.contract_client import refusal
from tests.factories import forge_token, unique

PASSWORD = "correct horse battery"
INVALID = 'Bearer realm="b2b", error="invalid_token"'
OTHER_SECRET = "a-secret-of-somebody-else-0123456789abcdef"
PREVIOUS_SECRET = "the-secret-of-last-month-0123456789abcdef"


def post(api, token, **headers):
    product = {"sku": unique("SKU"), "name": "Keyboard", "price_cents": 4900, "stock": 3}
    return api.post("/products", json=product, token=token, headers=headers)


@pytest.fixture
def log_in(customers_api):
    """`log_in(username, password)` asks for a token."""
    return lambda username, password: customers_api.post(
        "/auth/token", json={"username": username, "password": password}, token=None
    )


def test_login_gives_a_token_for_two_hours_that_no_cache_keeps(log_in, factory, customers_api):
    username = factory.make_operator(PASSWORD)

    response = log_in(username, PASSWORD)

    assert response.status_code == 200
    assert response.json["token_type"] == "Bearer"
    assert response.json["expires_in"] == 7200
    assert response.headers["Cache-Control"] == "no-store"
    assert customers_api.get("/customers", token=response.json["token"]).status_code == 200


def test_wrong_name_wrong_password_and_inactive_operator_get_the_same_answer(log_in, factory):
    active = factory.make_operator(PASSWORD)
    inactive = factory.make_operator(PASSWORD, active=False)

    answers = [log_in(active, "wrong"), log_in(unique("nobody"), PASSWORD), log_in(inactive, PASSWORD)]

    assert [refusal(answer) for answer in answers] == [(401, "invalid_credentials")] * 3
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="b2b"'}
    assert len({answer.json["detail"] for answer in answers}) == 1
    assert len({frozenset(answer.json) for answer in answers}) == 1


def test_unknown_name_costs_a_hash_of_the_same_parameters_as_a_known_one(monkeypatch):
    checked = []
    monkeypatch.setattr(PasswordHasher, "verify", lambda self, stored, password: checked.append(stored))
    for password_hash in (passwords.hash_password(PASSWORD), None):
        passwords.is_right(password_hash, "wrong")

    known, unknown = map(extract_parameters, checked)
    assert unknown == known


def test_passwords_are_stored_as_argon2id_with_a_salt_each():
    first, second = passwords.hash_password(PASSWORD), passwords.hash_password(PASSWORD)

    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second


def test_token_carries_the_name_as_it_is_stored(log_in, factory):
    username = factory.make_operator(PASSWORD)

    token = log_in(username.upper(), PASSWORD).json["token"]

    claims = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    assert f'"sub":"{username}"'.encode() in claims


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic ZGVtbzpkZW1v", "Bearerabc"])
def test_request_without_a_bearer_token_is_401_with_a_bare_challenge(orders_api, refused, header):
    headers = {} if header is None else {"Authorization": header}

    response = refused((401, "authentication_required"), post, orders_api, None, **headers)

    assert response.headers["WWW-Authenticate"] == 'Bearer realm="b2b"'


def test_scheme_name_in_lower_case_is_accepted(orders_api, make_token):
    response = orders_api.get("/products", token=None, headers={"Authorization": f"bearer {make_token()}"})

    assert response.status_code == 200


FORGERIES = {
    "expired": {"claims": {"exp": int(time.time()) - 15}},
    "issued in the future": {"claims": {"iat": int(time.time()) + 3600}},
    "wrong audience": {"claims": {"aud": "somebody-else"}},
    "wrong issuer": {"claims": {"iss": "somebody-else"}},
    "alg none": {"header": {"alg": "none"}, "digest": None},
    "HS512": {"header": {"alg": "HS512"}, "digest": "sha512"},
    "no alg": {"header": {"alg": None}},
    "no kid": {"header": {"kid": None}},
    "kid of somebody else": {"header": {"kid": "0123456789abcdef"}},
    "kid that is a list": {"header": {"kid": ["0123456789abcdef"]}},
    "another secret": {"secret": OTHER_SECRET},
    "sub that is a number": {"claims": {"sub": 7}},
    "ver that is no integer": {"claims": {"ver": True}},
    "ver without an end": {"claims": {"ver": float("inf")}},
    "scope that is a list": {"claims": {"scope": ["products:write"]}},
    **{f"no {claim}": {"claims": {claim: None}} for claim in ("iss", "aud", "sub", "iat", "exp", "jti", "scope")},
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_token_is_401_and_writes_nothing(orders_api, settings, make_token, refused, forgery):
    token = forge_token(make_token(), **{"secret": settings.jwt_secrets[0], **forgery})

    response = refused((401, "invalid_token"), post, orders_api, token)

    assert response.headers["WWW-Authenticate"] == INVALID


def test_forgery_that_changes_nothing_is_accepted(orders_api, settings, make_token):
    assert post(orders_api, forge_token(make_token(), settings.jwt_secrets[0])).status_code == 201


@pytest.mark.parametrize("token", ["abc_", "a.b.c", "..", "é.é.é", "e30.e30.", "W" * 12_000 + ".e30.AA"], ids=len)
def test_garbage_for_a_token_is_401(orders_api, refused, token):
    response = refused((401, "invalid_token"), post, orders_api, token)

    assert response.headers["WWW-Authenticate"] == INVALID
    assert token not in response.text


def test_token_signed_with_the_previous_secret_is_accepted(make_orders_api, settings, make_token):
    rotated = dataclasses.replace(settings, jwt_secrets=(PREVIOUS_SECRET, settings.jwt_secrets[0]))

    assert post(make_orders_api(settings=rotated), make_token()).status_code == 201


def test_token_signed_with_a_secret_that_was_rotated_away_is_refused(make_orders_api, settings, make_token, refused):
    rotated = dataclasses.replace(settings, jwt_secrets=(PREVIOUS_SECRET, OTHER_SECRET))

    refused((401, "invalid_token"), post, make_orders_api(settings=rotated), make_token())
