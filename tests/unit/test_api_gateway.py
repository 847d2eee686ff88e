"""API Gateway events of both payload formats become the same request."""

import base64

import pytest

from common.api_gateway import read_event

BODY = '{"a":"é"}'


def v1(**overrides):
    return {
        "httpMethod": "POST",
        "path": "/orchestrator/x",
        "requestContext": {"identity": {"sourceIp": "192.0.2.7"}},
        "headers": {"Content-Type": "application/json", "X-Request-ID": "abc"},
        "multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["x y"]},
        "body": BODY,
        "isBase64Encoded": False,
        **overrides,
    }


def v2(**overrides):
    return {
        "version": "2.0",
        "rawPath": "/orchestrator/x",
        "rawQueryString": "a=1&a=2&b=x+y",
        "headers": {"content-type": "application/json", "x-request-id": "abc"},
        "requestContext": {"http": {"method": "POST", "path": "/", "sourceIp": "192.0.2.7"}, "stage": "$default"},
        "body": BODY,
        "isBase64Encoded": False,
        **overrides,
    }


def test_both_formats_give_the_same_request():
    request = read_event(v1())

    assert request == read_event(v2())
    assert (request.method, request.path, request.query_string) == ("POST", "/orchestrator/x", "a=1&a=2&b=x+y")
    assert (request.body, request.address) == (BODY.encode(), "192.0.2.7")


@pytest.mark.parametrize("event", [v1, v2])
@pytest.mark.parametrize("name", ["x-request-id", "X-REQUEST-ID"])
def test_header_names_have_no_case(event, name):
    assert read_event(event()).header(name) == "abc"


def test_header_that_was_sent_twice_has_both_values():
    twice = {"Authorization": ["Bearer a", "Bearer b"]}
    event = v1(headers={"Authorization": "Bearer b"}, multiValueHeaders=twice)

    assert read_event(event).header("Authorization") == "Bearer a,Bearer b"


@pytest.mark.parametrize("event", [v1, v2])
@pytest.mark.parametrize("name", ["X_Request_ID", "Transfer-Encoding"])
def test_header_that_has_no_meaning_here_is_left_out(event, name):
    assert read_event(event(headers={name: "a"})).headers == {}


def test_parameters_that_are_given_once_alone_are_read():
    event = v1(multiValueQueryStringParameters=None, queryStringParameters={"a": "x y"})

    assert read_event(event).query_string == "a=x+y"


@pytest.mark.parametrize("event", [v1, v2])
@pytest.mark.parametrize("data", [BODY.encode(), b"\xff\xfe", b""])
def test_base64_body_is_decoded(event, data):
    assert read_event(event(body=base64.b64encode(data).decode(), isBase64Encoded=True)).body == data


@pytest.mark.parametrize("event", [v1, v2])
def test_absent_parts_are_empty(event):
    request = read_event(event(headers=None, multiValueQueryStringParameters=None, rawQueryString=None, body=None))

    assert (request.header("X-Request-ID"), request.query_string, request.body) == (None, "", b"")


@pytest.mark.parametrize(
    ("stage", "raw_path", "path"),
    [
        ("$default", "/dev/x", "/dev/x"),
        ("$default", "/$default/x", "/$default/x"),
        ("dev", "/dev/x", "/x"),
        ("dev", "/dev", "/"),
        ("dev", "/development/x", "/development/x"),
    ],
)
def test_stage_of_format_2_is_not_part_of_the_path(stage, raw_path, path):
    event = v2(rawPath=raw_path, requestContext={"http": {"method": "GET", "path": raw_path}, "stage": stage})

    assert read_event(event).path == path


def test_lone_surrogate_in_the_body_does_not_raise():
    assert read_event(v2(body="\ud800")).body == b"\xed\xa0\x80"
