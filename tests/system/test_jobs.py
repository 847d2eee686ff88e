"""Jobs as commands and as Lambda functions."""

import json
import os

import pytest

from common import jobs
from tests.conftest import run_module
from tests.system.services import connect, prepare


@pytest.fixture
def environ(database_settings, other_connection):
    """The environment of programs with a schema of their own, in which the demo data is."""
    name = f"{database_settings.name}_jobs"
    with other_connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        environ = {**os.environ, "DB_NAME": name}
        prepare(environ)
        yield environ
        cursor.execute(f"DROP DATABASE {name}")


def execute(environ, *statements):
    with connect(environ) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


ORDER = """
    INSERT INTO orders (customer_id, customer_name, customer_email, status, total_cents, created_at, expires_at)
    VALUES (1, 'ACME', 'e', 'CREATED', 100, NOW(6), NOW(6) - INTERVAL 1 DAY)
"""


def test_pass_says_in_a_line_of_json_what_it_did(environ):
    for module, job, found in (
        ("orders.jobs", "expire", {"expired": 0, "failed": []}),
        ("customers.jobs", "purge", {"keys": 0, "logins": 0}),
        ("orders.jobs", "verify", {"adopted": True, "violations": {}}),
    ):
        run = run_module(module, job, environ=environ)

        assert run.returncode == 0, run.stderr
        (line,) = run.stdout.splitlines()
        summary = json.loads(line)
        assert summary.pop("seconds") < 60
        assert summary == {"job": job, "ok": True, **found}


def test_setting_that_is_wrong_is_a_line_and_78():
    environ = {**os.environ, "APP_ENV": "development", "DB_HOST": "db1,db1"}

    run = run_module("orders.jobs", "verify", environ=environ)

    assert (run.returncode, run.stderr) == (78, "configuration: DB_HOST names a server twice\n")


def test_verify_that_finds_something_ends_with_1_and_names_it(environ):
    execute(environ, "UPDATE products SET stock = stock + 1 WHERE id IN (2, 4)", ORDER)

    run = run_module("orders.jobs", "verify", environ=environ)

    assert (run.returncode, run.stderr) == (1, "")
    violations = json.loads(run.stdout)["violations"]
    assert violations == {"total": [1], "life": [1], "stock": [2, 4], "expiry": [1]}


@pytest.mark.parametrize(
    ("module", "job"), [("orders.jobs", "expire"), ("customers.jobs", "purge"), ("orders.jobs", "verify")]
)
def test_job_without_its_database_is_to_be_tried_later(environ, module, job):
    run = run_module(module, job, environ={**environ, "DB_PORT": "1"})

    assert (run.returncode, run.stdout) == (75, "")
    assert run.stderr.splitlines()[-1].startswith(f"{job}: the database does not answer")


@pytest.mark.parametrize("arguments", [[], ["everything"], ["expire", "now"]])
def test_job_that_there_is_not_is_refused(environ, arguments):
    run = run_module("orders.jobs", *arguments, environ=environ)

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "jobs: say one of expire, verify\n"


def test_function_returns_what_its_job_did_and_fails_if_something_is_wrong(environ, monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", environ)
    ok = True
    handle = jobs.make_handler("orders", {"look": lambda settings, database: {"ok": ok, "ids": [1]}})

    summary = handle({"job": "look"}, None)

    assert (summary["job"], summary["ok"], summary["ids"]) == ("look", True, [1])
    assert json.loads(capsys.readouterr().out) == summary
    ok = False
    with pytest.raises(RuntimeError, match="look found something wrong"):
        handle({"job": "look"}, None)
    assert json.loads(capsys.readouterr().out)["ok"] is False
