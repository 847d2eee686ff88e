"""Problem documents: their form, the request id in them, and what they never say."""

import pytest

from common.problems import REGISTRY
from tests.contract_client import refusal
from tests.factories import order_request


@pytest.mark.parametrize("path", ["/", "/order", "/orders/1/ship", "/../etc", "/customers"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_address_is_404(orders_api, method, path):
    response = orders_api.request(method, path)

    assert refusal(response) == (404, "not_found")
    assert response.json["detail"] == REGISTRY["not_found"].detail


@pytest.mark.parametrize(
    ("api", "method", "path", "allowed"),
    [
        ("customers_api", "POST", "/customers/1", {"GET", "PUT", "DELETE"}),
        ("customers_api", "GET", "/auth/token", {"POST"}),
        ("orders_api", "PATCH", "/orders", {"GET", "POST"}),
        ("orders_api", "GET", "/orders/1/confirm", {"POST"}),
    ],
)
def test_method_that_a_path_does_not_take_is_405_naming_those_it_takes(request, refused, api, method, path, allowed):
    response = refused((405, "method_not_allowed"), request.getfixturevalue(api).request, method, path)

    assert set(response.headers["Allow"].split(", ")) - {"OPTIONS", "HEAD"} == allowed


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*", "*/*;q=0", "rubbish", ""])
@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("PUT", "/orders", None, 405),
        ("GET", "/orders", None, 401),
        ("GET", "/orders?colour=red", ..., 400),
        ("GET", "/products/9223372036854775807", ..., 404),
    ],
)
def test_problem_is_problem_json_whatever_accept_says(orders_api, accept, method, path, token, status):
    response = orders_api.request(method, path, token=token, headers={"Accept": accept})

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json["status"] == status


@pytest.mark.parametrize("given", ["a", "x" * 64, "abc.DEF-1_2"])
@pytest.mark.parametrize("path", ["/health", "/orders", "/nowhere"])
def test_request_id_comes_back(orders_api, given, path):
    assert orders_api.get(path, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a/b", "é", "a,b", '"a"', "a\tb"])
@pytest.mark.parametrize("path", ["/health", "/nowhere"])
def test_malformed_request_id_is_replaced_by_a_new_one(orders_api, given, path):
    answers = [orders_api.get(path, headers={"X-Request-ID": given}) for _ in range(2)]

    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert given not in ids
    assert len(ids) == 2
    assert {len(text) for text in ids} == {32}


def test_failure_of_ours_is_500_that_says_only_its_request_id(orders_api, factory, stub_customers, refused, log_lines):
    stub_customers.problem = RuntimeError("SELECT password_hash FROM operators: s3cret")
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    response = refused(
        (500, "internal_error"), orders_api.post, "/orders", json=request, headers={"X-Request-ID": "the-request"}
    )

    assert response.json == {
        "type": "urn:problem-type:b2b:internal_error",
        "title": "Internal error",
        "status": 500,
        "detail": REGISTRY["internal_error"].detail,
        "instance": "urn:request:the-request",
        "code": "internal_error",
        "request_id": "the-request",
    }
    assert "s3cret" not in str(response.headers)
    (failure,) = log_lines("failure")
    assert (failure["request_id"], "s3cret" in failure["exc_info"]) == ("the-request", True)


def test_options_needs_no_token(orders_api):
    response = orders_api.request("OPTIONS", "/orders", token=None)

    assert (response.status_code, "GET" in response.headers["Allow"]) == (200, True)
