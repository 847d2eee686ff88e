"""Idempotency keys, for every operation that takes one: one key, one effect, one answer."""

import json

import pytest

from tests.api.conftest import KEYED_OPERATIONS
from tests.factories import unique

CREATIONS = KEYED_OPERATIONS[:3]
TOLD = ("Location", "ETag")  # headers that say something of what was changed


@pytest.fixture
def call(calls, request):
    return calls[request.param]()


for_every_operation = pytest.mark.parametrize("call", KEYED_OPERATIONS, indirect=True)
for_creations = pytest.mark.parametrize("call", CREATIONS, indirect=True)


def is_replay(response):
    return response.headers.get("Idempotent-Replayed") == "true"


@for_every_operation
def test_repeat_replays_status_headers_and_body_and_writes_nothing(call, checksum, clock):
    headers = {"X-Idempotency-Key": unique("key")}
    first = call.send(**headers)
    before = checksum()
    clock.advance(hours=23)

    second = call.send(**headers)

    assert first.status_code in (200, 201)
    assert (is_replay(first), is_replay(second)) == (False, True)
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert [second.headers.get(name) for name in TOLD] == [first.headers.get(name) for name in TOLD]
    assert checksum() == before


@for_every_operation
def test_both_header_names_mean_the_same_key(call):
    key = unique("key")
    first = call.send(**{"Idempotency-Key": key})

    second = call.send(**{"X-Idempotency-Key": key})
    third = call.send(**{"X-Idempotency-Key": key, "Idempotency-Key": key})

    assert (is_replay(first), is_replay(second), is_replay(third)) == (False, True, True)
    assert first.content == second.content == third.content


@for_every_operation
def test_two_different_keys_are_400_and_write_nothing(call, refused):
    response = refused(
        (400, "invalid_request"), call.send, **{"X-Idempotency-Key": unique("key"), "Idempotency-Key": unique("key")}
    )

    assert [error["pointer"] for error in response.json["errors"]] == ["header:X-Idempotency-Key"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é", "a\tb"], ids=["empty", "long", "space", "accent", "tab"])
@pytest.mark.parametrize("name", ["X-Idempotency-Key", "Idempotency-Key"])
@for_every_operation
def test_malformed_key_is_400_and_writes_nothing(call, refused, name, key):
    refused((400, "invalid_request"), call.send, **{name: key})


@pytest.mark.parametrize("key", ["x" * 255, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"], ids=["long", "signs"])
@for_every_operation
def test_key_of_any_visible_ascii_replays(call, key):
    key = (unique("") + key)[:255]
    first = call.send(**{"X-Idempotency-Key": key})

    second = call.send(**{"X-Idempotency-Key": key})

    assert first.status_code in (200, 201)
    assert is_replay(second)


@for_creations
def test_keys_that_differ_in_case_are_different_keys(call, calls, request):
    key = unique("key")
    call.send(**{"X-Idempotency-Key": key})
    other = calls[request.node.callspec.params["call"]]()

    response = other.send(**{"X-Idempotency-Key": key.upper()})

    assert response.status_code == 201
    assert not is_replay(response)


@pytest.mark.parametrize("call", [*CREATIONS, "cancel_order", "update_product"], indirect=True)
def test_key_with_another_body_is_422_and_writes_nothing(call, refused):
    headers = {"X-Idempotency-Key": unique("key")}
    call.send(**headers)

    refused((422, "idempotency_key_reused"), call.send, body=call.other_body, **headers)


@pytest.mark.parametrize("operation", ["confirm_order", "cancel_order"])
def test_key_with_another_order_is_422_and_changes_nothing(calls, refused, operation):
    headers = {"X-Idempotency-Key": unique("key")}
    calls[operation]().send(**headers)
    other = calls[operation]()

    refused((422, "idempotency_key_reused"), other.send, **headers)


def test_one_text_serves_every_operation(calls):
    headers = {"X-Idempotency-Key": unique("key")}

    answers = [calls[operation]().send(**headers) for operation in KEYED_OPERATIONS]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 200, 200, 200, 200]
    assert not any(map(is_replay, answers))


def test_repeated_delta_with_a_key_and_an_old_tag_adds_once(orders_api, factory):
    product = factory.make_product(stock=5)
    path = f"/products/{product['id']}"
    headers = {"X-Idempotency-Key": unique("key"), "If-Match": orders_api.get(path).headers["ETag"]}
    first = orders_api.patch(path, json={"stock_delta": 3}, headers=headers)
    orders_api.patch(path, json={"stock_delta": 10})

    second = orders_api.patch(path, json={"stock_delta": 3}, headers=headers)

    assert (second.status_code, second.json["stock"]) == (200, 8)
    assert second.headers["ETag"] == first.headers["ETag"]
    assert factory.stock_of(product["id"]) == 18


def test_key_of_another_operator_is_another_key(calls, make_token):
    call, headers = calls["create_order"](), {"X-Idempotency-Key": unique("key")}
    first = call.send(token=make_token("maria"), **headers)

    second = call.send(token=make_token("peter"), **headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert not is_replay(second)
    assert second.json["id"] != first.json["id"]


def test_program_can_not_read_the_answer_of_the_operator_it_acts_for(calls, service_token, make_token, known_operator):
    call, headers = calls["create_order"](), {"X-Idempotency-Key": unique("key")}
    first = call.send(token=make_token(known_operator), **headers)

    second = call.send(token=service_token, **headers, **{"X-On-Behalf-Of": known_operator})
    nobody = call.send(token=service_token, **headers)

    assert [is_replay(answer) for answer in (second, nobody)] == [False, False]
    assert len({first.json["id"], second.json["id"], nobody.json["id"]}) == 3


def test_json_with_its_names_in_another_order_and_other_spaces_is_the_same_request(calls):
    call, headers = calls["create_order"](), {"X-Idempotency-Key": unique("key")}
    first = call.send(**headers)
    text = json.dumps(dict(reversed(call.body.items())), indent=7)

    second = call.api.post("/orders", body=text, headers={"Content-Type": "application/json; charset=utf-8", **headers})

    assert is_replay(second)
    assert second.content == first.content


@pytest.mark.parametrize("operation", ["confirm_order", "cancel_order"])
@pytest.mark.parametrize("body", [b"{}", b" { } "])
def test_absent_body_and_empty_object_are_the_same_request(calls, operation, body):
    call, headers = calls[operation](), {"X-Idempotency-Key": unique("key")}
    first = call.api.post(call.path, headers=headers)

    second = call.api.post(call.path, body=body, headers={"Content-Type": "application/json", **headers})

    assert (first.status_code, is_replay(second), second.content) == (200, True, first.content)


@for_every_operation
def test_key_replays_until_the_last_microsecond_of_its_day(call, clock):
    headers = {"X-Idempotency-Key": unique("key")}
    first = call.send(**headers)
    clock.advance(hours=24, microseconds=-1)

    assert is_replay(call.send(**headers))
    assert call.send(**headers).content == first.content


def test_expired_key_is_as_if_never_seen(calls, clock):
    call, headers = calls["create_order"](), {"X-Idempotency-Key": unique("key")}
    first = call.send(**headers)
    clock.advance(hours=24)

    second = call.send(body=call.other_body, **headers)
    third = call.send(body=call.other_body, **headers)

    assert (second.status_code, is_replay(second)) == (201, False)
    assert second.json["id"] != first.json["id"]
    assert (third.content, is_replay(third)) == (second.content, True)


def test_row_of_a_key_says_what_it_did_and_how_long_it_lives(calls, other_connection):
    call, key = calls["create_product"](), unique("key")
    response = call.send(**{"X-Idempotency-Key": key})

    cursor = other_connection.cursor()
    cursor.execute(
        "SELECT caller, operation, target_type, target_id, status, response_body,"
        " TIMESTAMPDIFF(SECOND, created_at, expires_at) FROM idempotency_keys WHERE idempotency_key = %s",
        (key,),
    )
    (caller, operation, target_type, target_id, status, body, lifetime) = cursor.fetchone()
    assert (caller, operation) == ("operatorToken:demo", "create_product")
    assert (target_type, target_id, status) == ("product", response.json["id"], 201)
    assert bytes(body) == response.content
    assert lifetime == 24 * 60 * 60
