"""What `make` starts, and that nothing of it is left whenever and however it ends."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import uuid

import pytest
import requests

from common import config
from tests.conftest import run_module
from tests.system.conftest import (
    ROOT,
    free_stack_ports,
    start_module,
    start_stack,
    stop_stack,
    verify,
    wait_until,
)


class World:
    """An environment of one test's own, by which every process that inherits it is known."""

    def __init__(self, schema):
        self.mark = f"B2B_TEST_MARK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.ports = free_stack_ports()
        self.environ = {**os.environ, **self.ports, name: value, "DB_NAME": schema}

    def processes(self):
        """Return the pids of the living processes that carry the mark."""
        return [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/environ") if self._is_ours(path)]

    def _is_ours(self, path):
        try:
            return self.mark.encode() in path.read_bytes().split(b"\0")
        except OSError:  # it has just ended, or is somebody else's
            return False

    def assert_nothing_is_left(self):
        """Wait for what is just ending; nothing else may run, so nothing listens."""
        wait_until(lambda: not self.processes(), seconds=10)


@pytest.fixture
def world(database_settings, other_connection):
    """A world whose schema and processes are gone afterwards."""
    schema = f"{database_settings.name}_make"
    with other_connection.cursor(buffered=True) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {schema}")
        world = World(schema)
        yield world
        for pid in world.processes():
            os.kill(pid, signal.SIGKILL)
        cursor.execute(f"DROP DATABASE IF EXISTS {schema}")


def stack_command(world, command, **environ):
    return run_module("dev.stack", command, environ={**world.environ, **environ})


def test_demo_prints_the_order_and_the_repeat_and_leaves_nothing_twice(world):
    runs = [stack_command(world, "demo"), stack_command(world, "demo")]

    assert [run.returncode for run in runs] == [0, 0], runs
    for run in runs:
        answer = json.loads(run.stdout[run.stdout.index("{\n") : run.stdout.index("\n}\n") + 2])
        assert (answer["success"], answer["data"]["order"]["status"]) == (True, "CONFIRMED")
        assert "the same answer, byte for byte, marked Idempotent-Replayed: true; stock" in run.stdout
        assert run.stderr == ""
    assert "stock 10 -> 9." in runs[0].stdout
    assert "stock 9 -> 8." in runs[1].stdout
    verify(world.environ)
    world.assert_nothing_is_left()


@pytest.mark.parametrize(("setting", "offset"), [("ORDERS_PORT", 0), ("ORCHESTRATOR_PORT", 1)])
def test_taken_port_is_one_line_that_names_the_setting(world, setting, offset):
    port = int(world.environ[setting]) + offset
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        run = stack_command(world, "run")

    assert run.returncode == 1
    assert (run.stdout, run.stderr) == ("", f"stack: port {port} is taken; free it or set {setting}\n")
    world.assert_nothing_is_left()


GUNICORN = ("gunicorn", "-c", "common/gunicorn_conf.py", "--bind", "127.0.0.1:0", "orders.app:get_app()")


@pytest.mark.parametrize("command", [
    ("dev.stack", "run"), ("dev.stack", "test"), GUNICORN, ("sql.migrate",), ("customers.operators", "maria", "admin"),
], ids=" ".join)  # fmt: skip
def test_server_of_ones_own_needs_to_be_told_development_or_production_in_one_line(world, command):
    run = run_module(*command, environ={**world.environ, "DB_HOST": "127.0.0.1", "APP_ENV": ""})

    lines = (run.stdout + run.stderr).splitlines()
    assert run.returncode == 78
    assert len([line for line in lines if line.startswith("configuration: APP_ENV is not set")]) == 1
    assert "Traceback (most recent call last):" not in lines


def test_mysql_whose_port_a_stranger_has_stops_the_stack(world, own_server):
    port = own_server.port
    own = {"DB_PORT": str(port), "MYSQL_OPTIONS": "--port-open-timeout=1"}
    own_server.run("stop")
    with socket.create_server(("127.0.0.1", port)):
        run = run_module("dev.stack", "run", environ=own_server.environ | world.ports | own)
    wait_until(lambda: not own_server.pids())  # the daemon says that it failed, then ends
    own_server.run("start")

    assert run.returncode == 1
    assert run.stderr.startswith(f"mysql-server: MySQL did not start. Is port {port} taken")


def test_service_that_dies_is_named_and_the_others_are_stopped(world, tmp_path):
    # An interpreter that is to run Orders ends at once.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'orders.app:get_app()' in sys.orig_argv:\n    os._exit(3)\n"
    )

    run = stack_command(world, "run", PYTHONPATH=str(tmp_path))

    assert run.returncode == 1
    assert run.stderr == "stack: orders ended by itself; its last lines are above or in .local/log\n"
    world.assert_nothing_is_left()


# (what has been printed when it comes, how it is sent, which, the status). A terminal's Ctrl-C reaches every process
# of its group, `kill` one.
SIGNALS = [
    (r"Schema .*\n", os.kill, signal.SIGTERM, 143),
    (r".*Starting gunicorn.*\n", os.killpg, signal.SIGINT, 130),
    (r".*Starting gunicorn.*\n", os.kill, signal.SIGTERM, 143),
    ("ready\n", os.killpg, signal.SIGINT, 130),
]


@pytest.mark.parametrize(("moment", "send", "number", "status"), SIGNALS)
def test_signal_at_any_moment_leaves_nothing(world, moment, send, number, status):
    process = start_module("dev.stack", "run", environ=world.environ, start_new_session=True)
    with process.stdout:
        assert any(re.fullmatch(moment, line) for line in iter(process.stdout.readline, ""))
        send(process.pid, number)
        output = process.stdout.read()

    assert process.wait(30) == status, output
    assert "dev/stack.py" not in output  # no traceback of it
    world.assert_nothing_is_left()


def test_production_has_no_demo_data(world, own_server):
    with own_server.root() as cursor:
        cursor.execute("CREATE USER 'production'@'127.0.0.1' IDENTIFIED BY 'a-password-of-production'")
        cursor.execute("GRANT ALL ON `b2b%`.* TO 'production'@'127.0.0.1'")
    environ = {
        **world.environ,
        **own_server.login("production", "a-password-of-production"),
        "APP_ENV": "production",
        "JWT_SECRET": "production-jwt-secret-of-this-test-0123456789",
        "SERVICE_TOKEN": "production-service-token-of-this-test-01234",
    }
    log = []
    process = start_stack(environ, log)
    login = {"username": "demo", "password": "demo-password"}
    response = requests.post(f"http://127.0.0.1:{environ['CUSTOMERS_PORT']}/auth/token", json=login, timeout=30)
    seed = run_module("sql.seed", environ=environ)
    stop_stack(process)

    assert response.status_code == 401
    assert [line for line in log if "emo" in line] == []
    assert (seed.returncode, seed.stdout) == (78, "")
    assert seed.stderr == "configuration: APP_ENV is production: demo data and demo passwords are refused\n"
    world.assert_nothing_is_left()


def test_make_alone_lists_each_target_and_all_that_the_readme_names():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    named = re.findall(r"(?:^|`)make ([a-z-]+)\b", (ROOT / "README.md").read_text(), re.MULTILINE)

    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)

    listed = re.findall(r"^  make ([a-z-]+) +\S", run.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony)
    assert set(named) <= set(listed)


def test_fresh_secrets_are_good_for_production():
    run = subprocess.run(["make", "secrets"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)

    secrets = dict(line.split("=", 1) for line in run.stdout.splitlines())
    users = {"DB_USER": "a", "CUSTOMERS_DB_USER": "b", "ORDERS_DB_USER": "c"}
    environ = {"APP_ENV": "production", "DB_HOST": "127.0.0.1", **users, **secrets}
    config.load_settings(environ)
    accounts = [config.load_database_settings(environ, service) for service in ("", "customers", "orders")]
    assert [account.password for account in accounts] == [
        secrets[name] for name in ("DB_PASSWORD", "CUSTOMERS_DB_PASSWORD", "ORDERS_DB_PASSWORD")
    ]
    assert secrets.keys() >= set(config.SECRETS)
    assert len(set(secrets.values())) == len(secrets)
