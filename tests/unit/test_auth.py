"""Tokens and callers, without HTTP. What is refused over HTTP is in tests/api/test_tokens.py."""

import calendar
import dataclasses
from contextlib import nullcontext

import jwt
import pytest

from common import times
from common.auth import ROLES, TOKEN_SECONDS, Authenticator, Caller
from common.problems import InvalidToken
from tests.factories import forge_token

SECRET = "c" * 32
PREVIOUS = "p" * 32


def refuse(*arguments, **options):
    raise jwt.InvalidTokenError


@pytest.fixture
def rotated(settings):
    """Settings in the middle of a rotation of both secrets."""
    return dataclasses.replace(settings, jwt_secrets=(SECRET, PREVIOUS), service_tokens=("s" * 32, "t" * 32))


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_issued_token_identifies_its_operator_with_the_scopes_of_the_role(rotated, role):
    authenticator = Authenticator(rotated)

    caller = authenticator.identify("Bearer " + authenticator.issue_token("maria", role, times.utc_now()))

    assert caller == Caller("operatorToken", "maria", frozenset(ROLES[role]))
    assert caller.actor == "maria"


def test_viewer_reads_and_operator_writes_too():
    assert {scope.partition(":")[2] for scope in ROLES["viewer"]} == {"read"}
    assert set(ROLES["viewer"]) < set(ROLES["operator"]) == set(ROLES["admin"])


def test_current_secret_signs_and_previous_is_accepted(rotated):
    now = times.utc_now()
    old = Authenticator(dataclasses.replace(rotated, jwt_secrets=(PREVIOUS,))).issue_token("maria", "viewer", now)
    new_only = Authenticator(dataclasses.replace(rotated, jwt_secrets=(SECRET,)))

    assert Authenticator(rotated).identify("Bearer " + old).name == "maria"
    assert new_only.identify("Bearer " + Authenticator(rotated).issue_token("maria", "viewer", now)).name == "maria"


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


def test_token_past_the_leeway_is_refused(rotated, clock):
    clock.advance(seconds=-TOKEN_SECONDS - 11)
    authenticator = Authenticator(rotated)

    with pytest.raises(InvalidToken):
        authenticator.identify("Bearer " + authenticator.issue_token("maria", "viewer", clock()))


@pytest.mark.parametrize("token", ["s" * 32, "t" * 32])
def test_both_service_tokens_are_a_program_that_acts_for_nobody(rotated, token):
    caller = Authenticator(rotated).identify(f"Bearer {token}")

    assert caller == Caller("serviceToken", None)
    assert caller.actor == "service"


def test_program_may_act_for_an_operator_and_an_operator_for_nobody_else():
    assert Caller("serviceToken", None).acting_for("maria").actor == "maria"
    assert Caller("operatorToken", "demo").acting_for("maria").actor == "demo"


def test_key_scopes_of_all_kinds_of_callers_differ():
    callers = [
        Caller("serviceToken", None),
        Caller("serviceToken", "maria"),
        Caller("operatorToken", "maria"),
        Caller("operatorToken", "Maria"),
    ]

    assert len({caller.key_scope for caller in callers}) == 4
