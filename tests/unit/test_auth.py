"""Tokens without HTTP. What is refused over HTTP is in tests/api/test_tokens.py and test_callers.py."""

import calendar
import dataclasses
from contextlib import nullcontext

import jwt
import pytest

from common import times
from common.auth import ROLES, TOKEN_SECONDS, Authenticator
from common.problems import InvalidToken
from tests.factories import forge_token

SECRET = "c" * 32
PREVIOUS = "p" * 32


def refuse(*arguments, **options):
    raise jwt.InvalidTokenError


@pytest.fixture
def rotated(settings):
    """Settings in the middle of a rotation of the secret."""
    return dataclasses.replace(settings, jwt_secrets=(SECRET, PREVIOUS))


def test_viewer_reads_and_operator_writes_too_and_admin_manages_operators():
    assert {scope.partition(":")[2] for scope in ROLES["viewer"]} == {"read"}
    assert set(ROLES["viewer"]) < set(ROLES["operator"])
    assert set(ROLES["admin"]) - set(ROLES["operator"]) == {"operators:read", "operators:write"}


def test_new_token_is_signed_with_the_current_secret(rotated):
    token = Authenticator(rotated).issue_token("maria", "viewer", times.utc_now())
    current_only = Authenticator(dataclasses.replace(rotated, jwt_secrets=(SECRET,)))

    assert current_only.identify(f"Bearer {token}").name == "maria"


def test_kid_of_one_secret_with_the_signature_of_the_other_is_refused(rotated):
    authenticator = Authenticator(rotated)
    token = authenticator.issue_token("maria", "viewer", times.utc_now())

    with pytest.raises(InvalidToken):
        authenticator.identify("Bearer " + forge_token(token, PREVIOUS))


def test_token_is_verified_once(rotated, monkeypatch):
    authenticator = Authenticator(rotated)
    header = "Bearer " + authenticator.issue_token("maria", "viewer", times.utc_now())
    caller = authenticator.identify(header)
    monkeypatch.setattr(jwt, "decode", refuse)

    assert authenticator.identify(header) == caller
    with pytest.raises(InvalidToken):
        authenticator.identify("Bearer " + authenticator.issue_token("maria", "viewer", times.utc_now()))


@pytest.mark.parametrize(("late", "is_good"), [(9, True), (10, False)])
def test_verified_token_is_good_no_longer_than_a_new_one(rotated, late, is_good):
    now = times.utc_now()
    seconds = [calendar.timegm(now.timetuple())]
    authenticator = Authenticator(rotated, clock=lambda: seconds[-1])
    header = "Bearer " + authenticator.issue_token("maria", "viewer", now)
    authenticator.identify(header)

    seconds.append(seconds[0] + TOKEN_SECONDS + late)

    with nullcontext() if is_good else pytest.raises(InvalidToken):
        authenticator.identify(header)
