"""`python -m customers.operators`: who is added with it can log in, and nobody reads the password."""

import uuid

import pytest
import requests

from tests.system.conftest import Operator, run_module

PASSWORD = "correct horse battery"


@pytest.fixture
def username():
    return f"op-{uuid.uuid4().hex[:12]}"


def add(stack, username, role, stdin=PASSWORD + "\n", **environ):
    return run_module("customers.operators", username, role, environ={**stack.environ, **environ}, stdin=stdin)


def log_in(stack, username, password):
    """Return the status of an attempt to log in."""
    body = {"username": username, "password": password}
    return requests.post(f"{stack.customers}/auth/token", json=body, timeout=30).status_code


def create_product(stack, username, password):
    """Return the status of an attempt to create a product."""
    product = {"sku": uuid.uuid4().hex, "name": "N", "price_cents": 1, "stock": 0}
    with Operator(stack, username, password).session as session:
        return session.post(f"{stack.orders}/products", json=product, timeout=30).status_code


def test_added_operator_logs_in_and_the_password_is_not_printed(stack, username):
    run = add(stack, username, "operator")

    assert (run.returncode, run.stdout, run.stderr) == (0, f"Operator {username} added, role operator.\n", "")
    assert log_in(stack, username, PASSWORD) == 200
    assert log_in(stack, username, PASSWORD + " ") == 401


def test_second_run_changes_password_and_role(stack, username):
    add(stack, username, "viewer")
    before = create_product(stack, username, PASSWORD)

    run = add(stack, username, "admin", stdin="another password\n")

    assert (run.returncode, run.stdout) == (0, f"Operator {username} changed, role admin.\n")
    assert log_in(stack, username, PASSWORD) == 401
    assert (before, create_product(stack, username, "another password")) == (403, 201)


@pytest.mark.parametrize(
    ("password", "end"),
    [("pass word 8", "\n"), ("påsswörd-ü-🔑", "\n"), ("quotes and $(dollars) `'\"\\", "\n"), ("x" * 200, "")],
    ids=["spaces", "unicode", "quotes", "the longest, without a newline"],
)
def test_password_is_taken_as_it_is(stack, username, password, end):
    run = add(stack, username, "viewer", stdin=password + end)

    assert run.returncode == 0, run.stderr
    assert log_in(stack, username, password) == 200


@pytest.mark.parametrize(
    ("name", "role", "stdin", "word"),
    [
        ("good.name", "root", PASSWORD, "ROLE"),
        ("", "viewer", PASSWORD, "USERNAME"),
        ("newline\n", "viewer", PASSWORD, "USERNAME"),
        ("naïve", "viewer", PASSWORD, "USERNAME"),
        ("x" * 65, "viewer", PASSWORD, "USERNAME"),
        ("System", "viewer", PASSWORD, "USERNAME"),
        ("good.name", "viewer", "seven c\n", "password"),
        ("good.name", "viewer", "x" * 201, "password"),
        ("good.name", "viewer", "", "password"),
        ("good.name", "viewer", "tab\t" + PASSWORD, "password"),
        ("good.name", "viewer", "caf\udce9 caf\udce9\n", "password"),
    ],
)
def test_refusal_is_one_line_and_adds_nobody(stack, name, role, stdin, word):
    run = add(stack, name, role, stdin=stdin)

    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert word in run.stderr
    assert PASSWORD not in run.stderr
    assert log_in(stack, "good.name", PASSWORD) == 401


def test_wrong_number_of_arguments_is_the_usage(stack):
    run = run_module("customers.operators", "name", environ=stack.environ)

    assert (run.returncode, run.stderr) == (1, "usage: python -m customers.operators USERNAME ROLE\n")


@pytest.mark.parametrize("change", [{"DB_PORT": "1"}, {"DB_NAME": "b2b_that_nobody_made"}], ids=["server", "schema"])
def test_database_that_is_not_there_is_one_line(stack, change):
    run = add(stack, "good.name", "viewer", **change)

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
