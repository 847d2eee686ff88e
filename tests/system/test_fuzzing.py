"""schemathesis asks the running programs what their documents promise; `make contract EXAMPLES=1000` asks longer.

On a stack of its own: it deletes whatever it comes upon.
"""

import json
import os
import pathlib
import random
import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest

from tests.conftest import run_module
from tests.system.conftest import ROOT, Operator, Warehouse, bases_of, free_stack_ports, start_stack, stop_stack, verify
from tests.system.services import connect

CONFIGURATION = (pathlib.Path(__file__).parent / "schemathesis.toml").read_text()
LONGER = "EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("EXAMPLES", "5"))  # of each operation, in each phase that makes them up
# The suite asks the same each time, so that its result can be had again.
SEED = str(random.randrange(2**32) if LONGER else 1)
SECONDS = 24 * 3600 if LONGER else 300
METHODS = ("get", "put", "post", "patch", "delete")
ADMIN_PASSWORD = "nine-blue-barrels"
# These would end the token of the run, or take a password that it doesn't have.
LEFT_OUT = {"log_out", "change_own_password"}
PLENTY = 50_000_000  # in stock, so that some orders of any size can be had

# Customers last, for they do not survive it. `/orders` takes either token.
RUNS = [
    ("orders", "operatorToken"),
    ("orders", "serviceToken"),
    ("orchestrator", "operatorToken"),
    ("customers", "serviceToken"),
    ("customers", "operatorToken"),
]


@pytest.fixture(scope="module")
def programs(stack_environ):
    """The three programs with the demo data."""
    own = {"DB_NAME": stack_environ["DB_NAME"] + "_fuzzed", "TRUSTED_PROXIES": "127.0.0.1"}
    environ = {**stack_environ, **own, **free_stack_ports()}
    process = start_stack(environ, [])
    for name in ("fuzzer", "other"):  # schemathesis_checks.py does to the second one what would end the first
        added = run_module("customers.operators", name, "admin", environ=environ, stdin=f"{ADMIN_PASSWORD}\n")
        assert added.returncode == 0, added.stderr
    yield SimpleNamespace(**bases_of(environ), environ=environ)
    stop_stack(process)
    with connect(environ) as connection:
        connection.cursor().execute(f"DROP DATABASE {environ['DB_NAME']}")


@pytest.fixture(scope="module")
def operators(programs):
    """An operator and an admin."""
    return Operator(programs, "demo", "demo-password"), Operator(programs, "fuzzer", ADMIN_PASSWORD)


@pytest.fixture
def tokens(programs, operators):
    """A token of each kind; and three products in plenty, whatever the tests before have made of them."""
    operator, admin = operators
    change = {"active": True, "stock": PLENTY}
    for product_id in (1, 2, 3):
        operator.session.patch(f"{programs.orders}/products/{product_id}", json=change).raise_for_status()
    service_token = "development-only-service-token-0123456789"
    return {"operatorToken": operator.token, "serviceToken": service_token, "adminToken": admin.token}


def order_to_confirm(operator):
    """Return an order's id. The first three are canceled by chance: half of all integers name one of them."""
    body = Warehouse(operator).order_request()
    return [operator.create(operator.stack.orders, "/orders", body)["id"] for _ in range(4)][-1]


def operations(document, scheme):
    """Return {operationId: (method, pattern of its URLs)} of what is open to a token of this scheme.

    What is open to everybody counts as an operator's.
    """
    return {
        operation["operationId"]: (
            method.upper(),
            re.compile(r"https?://[^/]+" + re.sub(r"\{.*?\}", "[^/?]+", path) + r"(\?.*)?"),
        )
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
        and operation["operationId"] not in LEFT_OUT
        and any(scheme in each for each in operation["security"] or [{"operatorToken": []}])
    }


def has_links(document, names):
    """Tell whether an operation among `names` leads to another one."""
    linked = {link["operationId"] for link in document["components"].get("links", {}).values()}
    return bool(linked & set(names))


def ask(document, base, scheme, token, folder):
    """Run schemathesis; return (exit status, what it printed, [(method, URL, status)] of all that it sent)."""
    names = operations(document, scheme)
    phases = "examples,coverage,fuzzing" + (",stateful" if has_links(document, names) else "")
    (folder / "document.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(
        f'auth.openapi.{scheme}.bearer = "${{TOKEN}}"\n'  # from the environment: it stands in no argument or file
        # Each run is somebody else: what one tries of passwords is soon too much.
        f'headers = {{ X-Forwarded-For = "203.0.113.{random.randrange(1, 255)}" }}\n'
        f"generation.max-examples = {EXAMPLES}\n"
        f"phases.stateful.generation.max-examples = {6 * EXAMPLES}\n" + CONFIGURATION
    )
    run = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", folder / "schemathesis.toml", "--no-color"]
        + ["run", folder / "document.json", "--url", base, "--checks=all", "--phases", phases, "--seed", SEED]
        # One worker: with more, neither the order is the same each time nor, in Python 3.11, `ast` safe.
        + ["--workers=1", "--continue-on-failure", "--report-har-path", folder / "sent.har"]
        + [f"--include-operation-id={name}" for name in names],
        cwd=ROOT,
        env={**os.environ, "TOKEN": token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    entries = json.loads((folder / "sent.har").read_bytes())["log"]["entries"]
    sent = [(entry["request"]["method"], entry["request"]["url"], entry["response"]["status"]) for entry in entries]
    return run.returncode, run.stdout, sent


@pytest.mark.timeout(SECONDS + 10)
@pytest.mark.parametrize(("name", "scheme"), RUNS)
def test_program_does_what_its_document_promises(programs, operators, tokens, tmp_path, name, scheme):
    document = json.loads((ROOT / "openapi" / f"{name}.json").read_bytes())
    if name == "orders":
        confirmation = document["paths"]["/orders/{order_id}/confirm"]["post"]
        example = {"example": order_to_confirm(operators[0])}
        confirmation["parameters"].append(document["components"]["parameters"]["OrderId"] | example)

    token = tokens["adminToken" if (name, scheme) == RUNS[-1] else scheme]
    status, printed, sent = ask(document, getattr(programs, name), scheme, token, tmp_path)

    print(printed)  # which requests failed, and how to send them again
    assert status == 0
    answered = {
        name: Counter(answer for method, url, answer in sent if method == wanted and pattern.fullmatch(url))
        for name, (wanted, pattern) in operations(document, scheme).items()
    }
    print(*answered.items(), sep="\n")
    assert [name for name, answers in answered.items() if not any(200 <= answer < 300 for answer in answers)] == []


def test_orders_went_on_and_add_up(programs):
    with connect(programs.environ) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM orders WHERE status <> 'CREATED'")
        (confirmed_or_canceled,) = cursor.fetchone()

    assert confirmed_or_canceled > 0
    verify(programs.environ)
