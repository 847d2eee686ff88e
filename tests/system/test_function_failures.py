"""Functions as they are deployed when they, their settings or their events are broken: never a Lambda error."""

import json
import shutil

import pytest

from aws.package import FUNCTIONS
from tests.system.gateway import make_event_v2

for_every_function = pytest.mark.parametrize("name", FUNCTIONS)
HEALTH = make_event_v2("GET", "/health", [])
LOGIN = {"username": "demo", "password": "demo-password"}


def answer(result):
    """Return (status, code) of a result, which has to be a problem document of the contract's shape."""
    headers = {name.lower(): value for name, value in result["headers"].items()}
    body = json.loads(result["body"])
    assert headers["content-type"] == "application/problem+json"
    assert body["request_id"] == headers["x-request-id"]
    assert body["status"] == result["statusCode"]
    return result["statusCode"], body["code"]


# What the handler calls first of all, replaced by something that raises.
CRASH = """
import serverless_wsgi
from orders.handler import handle

def crash(*arguments):
    raise {error}

serverless_wsgi.handle_request = crash
"""


@pytest.mark.parametrize("error", ["KeyError('secret')", "SystemExit(1)"])
def test_crash_is_a_500_problem_and_the_next_event_is_answered(
    make_function, unpacked, function_environ, tmp_path, error
):
    folder = shutil.copytree(unpacked["orders"], tmp_path / "orders")
    (folder / "crash.py").write_text(CRASH.format(error=error))
    function = make_function("orders", function_environ, folder=folder, handler="crash.handle")

    results = [function.invoke(HEALTH) for _ in range(2)]

    assert [answer(result) for result in results] == [(500, "internal_error")] * 2
    assert "secret" not in results[0]["body"]
    # The log says what happened, under the id that the caller was given.
    assert error.partition("(")[0] in function.log()
    assert json.loads(results[0]["body"])["request_id"] in function.log()


_NAMES = ("JWT_SECRET", "SERVICE_TOKEN", "CUSTOMERS_DB_PASSWORD", "ORDERS_DB_PASSWORD")
SECRETS = {name: f"{name}-of-a-test-0123456789abcdef" for name in _NAMES}
PRODUCTION = {
    "APP_ENV": "production",
    "CUSTOMERS_API_BASE": "https://customers.example",
    "ORDERS_API_BASE": "https://orders.example",
    "DB_HOST": "127.0.0.1",
    "CUSTOMERS_DB_USER": "b2b_customers_api",
    "ORDERS_DB_USER": "b2b_orders_api",
    **SECRETS,
}


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("orchestrator", "SERVICE_TOKEN", "too-short"),
        ("customers", "JWT_SECRET", "{{resolve:secretsmanager:b2b-orders/prod:SecretString:JWT_SECRET}}"),
        ("orders", "DB_HOST", ""),
    ],
)
def test_bad_setting_is_a_500_problem_and_the_log_names_it(make_function, name, setting, value):
    function = make_function(name, {**PRODUCTION, setting: value})
    event = make_event_v2("GET", "/health", [("X-Request-ID", "the-request")])

    results = [function.invoke(event) for _ in range(2)]

    assert [answer(result) for result in results] == [(500, "internal_error")] * 2
    assert [result["headers"]["X-Request-ID"] for result in results] == ["the-request"] * 2
    assert setting in function.log()
    told = function.log() + results[0]["body"]
    assert [secret for secret in (*SECRETS.values(), value) if secret and secret in told] == []


@for_every_function
def test_production_settings_are_taken(make_function, name):
    assert make_function(name, PRODUCTION).invoke(HEALTH)["statusCode"] == 200


ODD_EVENTS = {
    "nothing": None,
    "a scheduled event": {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    # serverless-wsgi takes what has a source for an event of its own commands.
    "a request with a source": {**HEALTH, "rawPath": "/nowhere", "source": "aws.events"},
    "a path that is a number": {**HEALTH, "rawPath": 7},
}


@pytest.mark.parametrize("event", ODD_EVENTS.values(), ids=ODD_EVENTS)
def test_event_that_is_no_request_is_a_problem(gateways, event):
    status, _ = answer(gateways["payload 2.0"]["orders"].function.invoke(event))

    assert status in (404, 500)


@pytest.mark.parametrize(("body", "is_base64"), [("e30", True), ("\ud800", False)], ids=["bent base64", "no text"])
def test_body_that_is_no_bytes_is_400(gateways, operator, body, is_base64):
    headers = [("Authorization", f"Bearer {operator.token}"), ("Content-Type", "application/json")]
    event = make_event_v2("POST", "/products", headers, body, is_base64)

    assert answer(gateways["payload 2.0"]["orders"].function.invoke(event)) == (400, "malformed_json")


@for_every_function
def test_log_is_json_lines_without_secret_token_or_body(make_function, make_gateway, function_environ, operator, name):
    function = make_function(
        name, {**function_environ, "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    )
    gateway = make_gateway(function, "2.0")
    for path in ("/auth/token", "/customers", "/orders", "/orchestrator/create-and-confirm-order"):
        operator.session.post(gateway.base + path, json={**LOGIN, "note": "a-body-of-somebody"})

    log = function.log()

    secrets = ("development-only", operator.token, "demo-password", "a-body-of-somebody")
    assert [secret for secret in secrets if secret in log] == []
    for line in log.splitlines():
        json.loads(line)
