"""`python -m customers.operators`: who is added with it can log in, and nobody reads the password."""

import uuid

import pytest
import requests

from tests.system.conftest import Operator, free_ports, run_module

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


def test_added_operator_logs_in_and_the_password_is_not_printed(stack, username):
    run = add(stack, username, "operator")

    assert (run.returncode, run.stdout, run.stderr) == (0, f"Operator {username} added, role operator.\n", "")
    assert PASSWORD not in run.stdout
    assert log_in(stack, username, PASSWORD) == 200
    assert log_in(stack, username, PASSWORD + " ") == 401


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 201), ("admin", 201)])
def test_role_decides_what_the_operator_may_do(stack, username, role, status):
    add(stack, username, role)
    operator = Operator(stack, username, PASSWORD)

    product = {"sku": uuid.uuid4().hex, "name": "N", "price_cents": 1, "stock": 0}
    with operator.session as session:
        response = session.post(f"{stack.orders}/products", json=product, timeout=30)

    assert response.status_code == status


def test_second_run_changes_password_and_role(stack, username):
    add(stack, username, "viewer")

    run = add(stack, username, "operator", stdin="another password\n")

    assert (run.returncode, run.stdout) == (0, f"Operator {username} changed, role operator.\n")
    assert log_in(stack, username, PASSWORD) == 401
    with Operator(stack, username, "another password").session as session:
        product = {"sku": uuid.uuid4().hex, "name": "N", "price_cents": 1, "stock": 0}
        assert session.post(f"{stack.orders}/products", json=product, timeout=30).status_code == 201


@pytest.mark.parametrize(
    "password",
    ["pass word 8", "påsswörd-ü-🔑", "quotes and $(dollars) `'\"\\", "x" * 200],
    ids=["spaces", "unicode", "quotes", "the longest"],
)
def test_password_is_taken_as_it_is(stack, username, password):
    run = add(stack, username, "viewer", stdin=password + "\n")

    assert run.returncode == 0, run.stderr
    assert log_in(stack, username, password) == 200


def test_password_without_a_newline_is_taken(stack, username):
    assert add(stack, username, "viewer", stdin=PASSWORD).returncode == 0

    assert log_in(stack, username, PASSWORD) == 200


@pytest.mark.parametrize(
    ("name", "role", "stdin", "word"),
    [
        ("good.name", "root", PASSWORD, "ROLE"),
        ("good.name", "", PASSWORD, "ROLE"),
        ("good.name", "Operator", PASSWORD, "ROLE"),
        ("", "viewer", PASSWORD, "USERNAME"),
        ("two words", "viewer", PASSWORD, "USERNAME"),
        ("new\nline", "viewer", PASSWORD, "USERNAME"),
        ("newline\n", "viewer", PASSWORD, "USERNAME"),
        ("naïve", "viewer", PASSWORD, "USERNAME"),
        ("x" * 65, "viewer", PASSWORD, "USERNAME"),
        ("'; DROP TABLE operators; --", "viewer", PASSWORD, "USERNAME"),
        ("service", "viewer", PASSWORD, "USERNAME"),
        ("System", "viewer", PASSWORD, "USERNAME"),
        ("good.name", "viewer", "seven c\n", "password"),
        ("good.name", "viewer", "x" * 201, "password"),
        ("good.name", "viewer", "", "password"),
        ("good.name", "viewer", "\n" + PASSWORD, "password"),
        ("good.name", "viewer", "tab\t" + PASSWORD, "password"),
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


@pytest.mark.parametrize("arguments", [(), ("name",), ("name", "viewer", "extra")])
def test_wrong_number_of_arguments_is_the_usage(stack, arguments):
    run = run_module("customers.operators", *arguments, environ=stack.environ)

    assert run.returncode == 1
    assert run.stderr == "usage: python -m customers.operators USERNAME ROLE\n"


def test_unreachable_database_is_one_line(stack):
    login = {"DB_HOST": "127.0.0.1", "DB_PORT": str(free_ports(1)[0]), "DB_USER": "b2b", "DB_PASSWORD": "unused"}

    run = add(stack, "good.name", "viewer", **login)

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "DB_HOST" in run.stderr


def test_schema_that_is_not_there_is_one_line(stack):
    run = add(stack, "good.name", "viewer", DB_NAME="b2b_that_nobody_made")

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1


def test_password_that_is_no_utf8_is_one_line(stack, username):
    run = add(stack, username, "viewer", stdin="caf\udce9 caf\udce9\n")

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1


def test_schema_without_tables_is_one_line(stack, database_settings, other_connection):
    name = f"{database_settings.name}_empty"
    with other_connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {name}")
        run = add(stack, "good.name", "viewer", DB_NAME=name)
        cursor.execute(f"DROP DATABASE {name}")

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
