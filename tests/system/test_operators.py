"""`python -m customers.operators`: who is added with it can log in, and nobody reads the password."""

import time
import uuid

import jwt
import pytest
import requests

from tests.conftest import run_module
from tests.system.conftest import wait_until
from tests.system.services import connect

PASSWORD = "correct horse battery"


@pytest.fixture
def username():
    return f"op-{uuid.uuid4().hex[:12]}"


def add(stack, username, role, stdin=PASSWORD + "\n"):
    return run_module("customers.operators", username, role, environ=stack.environ, stdin=stdin)


def log_in(stack, username, password):
    body = {"username": username, "password": password}
    return requests.post(f"{stack.customers}/auth/token", json=body, timeout=30)


def scopes(stack, username, password):
    """Return what an operator may do by its token."""
    token = log_in(stack, username, password).json()["token"]
    return set(jwt.decode(token, options={"verify_signature": False})["scope"].split())


def test_operator_that_was_switched_off_gets_in_no_more(stack, username):
    add(stack, username, "viewer")

    off = add(stack, username, "off", stdin="")

    assert (off.returncode, off.stdout) == (0, f"Operator {username} deactivated; its tokens end within a minute.\n")
    assert log_in(stack, username, PASSWORD).status_code == 401


def test_second_run_changes_password_and_role(stack, username):
    added = add(stack, username, "viewer")
    before = scopes(stack, username, PASSWORD)

    changed = add(stack, username, "operator", stdin="eight-green-crates\n")

    assert (added.returncode, added.stdout, added.stderr) == (0, f"Operator {username} added, role viewer.\n", "")
    assert (changed.returncode, changed.stdout) == (0, f"Operator {username} changed, role operator.\n")
    assert log_in(stack, username, PASSWORD).status_code == 401
    assert scopes(stack, username, "eight-green-crates") > before


@pytest.mark.parametrize(
    "stdin",
    [" påsswörd-ü-🔑 $(dollars) `'\"\\ \n", "".join(chr(33 + n * n % 89) for n in range(200))],
    ids=["odd", "the longest"],
)
def test_password_is_taken_as_it_is(stack, username, stdin):
    run = add(stack, username, "viewer", stdin=stdin)

    assert run.returncode == 0, run.stderr
    assert log_in(stack, username, stdin.removesuffix("\n")).status_code == 200


@pytest.mark.parametrize(
    ("name", "role", "stdin", "word"),
    [
        ("NAME", "root", PASSWORD, "ROLE"),
        ("newline\n", "viewer", PASSWORD, "USERNAME"),
        ("System", "viewer", PASSWORD, "USERNAME"),
        ("NAME", "viewer", "seven c\n", "password"),
        ("NAME", "viewer", "x" * 201, "password"),
        ("NAME", "viewer", "tab\t" + PASSWORD, "password"),
        ("NAME", "viewer", "caf\udce9 caf\udce9\n", "password"),
    ],
)
def test_refusal_is_one_line_and_adds_nobody(stack, username, name, role, stdin, word):
    run = add(stack, name.replace("NAME", username), role, stdin=stdin)

    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert word in run.stderr
    assert PASSWORD not in run.stderr
    assert log_in(stack, username, PASSWORD).status_code == 401


def test_operator_whose_row_is_locked_is_one_line(stack, username):
    add(stack, username, "viewer")
    other = connect(stack.environ)
    with other.cursor(buffered=True) as cursor:
        cursor.execute("SELECT id FROM operators WHERE username = %s FOR UPDATE", (username,))

    run = add(stack, username, "admin")

    other.close()
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert "Lock wait timeout" in run.stderr


@pytest.fixture
def admin(stack, username):
    """A session of an admin."""
    add(stack, f"{username}-admin", "admin")
    session = requests.Session()
    token = log_in(stack, f"{username}-admin", PASSWORD).json()["token"]
    session.headers["Authorization"] = f"Bearer {token}"
    return session


def test_deactivated_operator_is_out_within_a_minute_in_every_worker_and_the_orchestrator(stack, username, admin):
    add(stack, username, "operator")
    headers = {"Authorization": f"Bearer {log_in(stack, username, PASSWORD).json()['token']}"}
    order = {"customer_id": 1, "items": [{"product_id": 3, "qty": 1}]}

    def codes():
        """Ask each service ten times, each time on a new connection, and the orchestrator once."""
        urls = [f"{stack.customers}/customers", f"{stack.orders}/orders"] * 10
        answers = [requests.get(url, headers=headers, timeout=30) for url in urls]
        url = f"{stack.orchestrator}/orchestrator/create-and-confirm-order"
        body = {**order, "idempotency_key": uuid.uuid4().hex}
        answers.append(requests.post(url, json=body, headers=headers, timeout=30))
        return {(answer.status_code, answer.json().get("code")) for answer in answers}

    assert codes() == {(200, None), (201, None)}
    change = admin.patch(f"{stack.customers}/operators/{username}", json={"active": False}, timeout=30)
    began = time.monotonic()

    wait_until(lambda: codes() == {(401, "token_revoked")})

    assert change.status_code == 200
    assert time.monotonic() - began < 60
    assert log_in(stack, username, PASSWORD).status_code == 401
