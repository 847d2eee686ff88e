"""What `make` starts, and that nothing of it is left whenever and however it ends."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import uuid

import mysql.connector
import pytest
import requests

from tests.system.conftest import ROOT, free_ports, run_module, start_stack, stop_stack, wait_until
from tests.system.mysql_server import OwnServer

PORTS = ("CUSTOMERS_PORT", "ORDERS_PORT", "ORCHESTRATOR_PORT")


class World:
    """An environment of one test's own, by which every process that inherits it is known."""

    def __init__(self, schema, cursor):
        self.schema = schema
        self.cursor = cursor
        self.mark = f"B2B_TEST_MARK={uuid.uuid4().hex}"
        numbers = dict(zip(PORTS, map(str, free_ports(4)), strict=False))  # serverless offline takes two
        name, _, value = self.mark.partition("=")
        self.environ = {**os.environ, **numbers, name: value, "DB_NAME": schema}

    def processes(self):
        """Return the pids of the living processes that carry the mark."""
        return [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/environ") if self._is_ours(path)]

    def _is_ours(self, path):
        try:
            return self.mark.encode() in path.read_bytes().split(b"\0")
        except OSError:  # it has just ended, or is somebody else's
            return False

    def client_states(self):
        """Return what each client of the schema is doing in MySQL."""
        self.cursor.execute("SHOW PROCESSLIST")
        return [row[6] for row in self.cursor.fetchall() if row[3] == self.schema]

    def listening(self):
        """Return the settings whose ports somebody listens on."""
        return [name for name in PORTS if is_listening(int(self.environ[name]))]

    def assert_nothing_is_left(self):
        """Wait for what is just ending; nothing else may run or listen."""
        wait_until(lambda: not self.processes(), seconds=10)
        assert self.listening() == []


@pytest.fixture
def world(database_settings):
    """A world whose schema and processes are gone afterwards."""
    schema = f"{database_settings.name}_make"
    with (
        mysql.connector.connect(
            host=database_settings.host,
            port=database_settings.port,
            user=database_settings.user,
            password=database_settings.password,
            use_pure=False,
        ) as connection,
        connection.cursor(buffered=True) as cursor,
    ):
        cursor.execute(f"DROP DATABASE IF EXISTS {schema}")
        world = World(schema, cursor)
        yield world
        for pid in world.processes():
            os.kill(pid, signal.SIGKILL)
        cursor.execute(f"DROP DATABASE IF EXISTS {schema}")


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stack_command(world, command, **environ):
    """Run `python -m dev.stack …` to its end."""
    return run_module("dev.stack", command, environ={**world.environ, **environ})


# --- the demo --------------------------------------------------------------------------


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
    world.assert_nothing_is_left()


# --- what stops it before it starts ----------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "offset"),
    [("CUSTOMERS_PORT", 0), ("ORDERS_PORT", 0), ("ORCHESTRATOR_PORT", 0), ("ORCHESTRATOR_PORT", 1)],
)
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


def test_bad_setting_stops_the_stack_with_one_line(world):
    run = stack_command(world, "run", JWT_SECRET="short")

    assert (run.returncode, run.stdout) == (78, "")
    assert re.fullmatch(r"configuration: JWT_SECRET\b.*\n", run.stderr)


@pytest.mark.parametrize("service", ["customers", "orders"])
def test_bad_setting_stops_a_service_with_one_line(world, service):
    options = ["-c", "common/gunicorn_conf.py", "--bind", "127.0.0.1:0", f"{service}.app:get_app()"]

    run = run_module("gunicorn", *options, environ={**world.environ, "JWT_SECRET": "short"})

    lines = (run.stdout + run.stderr).splitlines()
    assert run.returncode == 78
    assert len([line for line in lines if line.startswith("configuration: JWT_SECRET")]) == 1
    assert "Traceback (most recent call last):" not in lines


def test_unreachable_database_stops_the_stack_with_one_line(world):
    login = {"DB_HOST": "127.0.0.1", "DB_PORT": str(free_ports(1)[0]), "DB_USER": "b2b", "DB_PASSWORD": "unused"}

    run = stack_command(world, "run", **login)

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "127.0.0.1" in run.stderr


def test_mysql_whose_port_a_stranger_has_stops_the_stack(world, tmp_path):
    (port,) = free_ports(1)
    with OwnServer(tmp_path / "mysql", port) as server, socket.create_server(("127.0.0.1", port)):
        ports = {name: world.environ[name] for name in PORTS}

        run = run_module("dev.stack", "run", environ=server.environ | ports | {"DB_PORT": str(port)})

    assert run.returncode == 1
    assert f"Is port {port} taken" in run.stderr


@pytest.mark.parametrize("command", ["run", "demo"])
def test_service_that_dies_is_named_and_the_others_are_stopped(world, tmp_path, command):
    # An interpreter that is to run Orders ends at once.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'orders.app:get_app()' in sys.orig_argv:\n    os._exit(3)\n"
    )

    run = stack_command(world, command, PYTHONPATH=str(tmp_path))

    assert run.returncode == 1
    assert run.stderr == "stack: orders ended by itself; its last lines are above or in .local/log\n"
    world.assert_nothing_is_left()


# --- signals ---------------------------------------------------------------------------

# What has been printed when the signal comes.
MOMENTS = {"seeded": r"Demo data is there.*\n", "a service starts": r".*Starting gunicorn.*\n", "ready": "ready\n"}
# A terminal's Ctrl-C reaches every process of its group, `kill` one.
SIGNALS = pytest.mark.parametrize(
    ("send", "number", "status"),
    [(os.killpg, signal.SIGINT, 130), (os.kill, signal.SIGTERM, 143)],
    ids=["Ctrl-C", "TERM"],
)


def start_in_its_own_group(world):
    return subprocess.Popen(
        [sys.executable, "-m", "dev.stack", "run"],
        cwd=ROOT,
        env=world.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@SIGNALS
@pytest.mark.parametrize("moment", MOMENTS)
def test_signal_at_any_moment_leaves_nothing(world, moment, send, number, status):
    process = start_in_its_own_group(world)
    with process.stdout:
        assert any(re.fullmatch(MOMENTS[moment], line) for line in iter(process.stdout.readline, ""))
        send(process.pid, number)
        output = process.stdout.read()

    assert process.wait(30) == status, output
    assert "dev/stack.py" not in output  # no traceback of it
    world.assert_nothing_is_left()


@SIGNALS
def test_signal_in_the_middle_of_a_migration_leaves_nothing(world, send, number, status):
    # The lock of sql/migrate.py, held by us, keeps the stack there.
    world.cursor.execute("SELECT GET_LOCK(%s, 0)", (f"migrate:{world.schema}",))
    assert world.cursor.fetchone() == (1,)
    process = start_in_its_own_group(world)
    with process.stdout:
        wait_until(lambda: "User lock" in world.client_states())
        send(process.pid, number)
        process.stdout.read()
    world.cursor.execute("SELECT RELEASE_LOCK(%s)", (f"migrate:{world.schema}",))
    world.cursor.fetchone()

    assert process.wait(30) == status
    world.assert_nothing_is_left()


# --- production ------------------------------------------------------------------------


def test_production_has_no_demo_data(world, own_server):
    environ = {
        **world.environ,
        "APP_ENV": "production",
        "JWT_SECRET": "production-jwt-secret-of-this-test-0123456789",
        "SERVICE_TOKEN": "production-service-token-of-this-test-01234",
        **own_server.login_with_own_password(),
    }
    log = []
    process = start_stack(environ, log)
    login = {"username": "demo", "password": "demo-password"}
    response = requests.post(f"http://127.0.0.1:{environ['CUSTOMERS_PORT']}/auth/token", json=login, timeout=30)
    seed = run_module("sql.seed", environ=environ)
    demo_password = run_module("sql.seed", environ={**environ, "APP_ENV": ""})
    stop_stack(process)

    assert response.status_code == 401
    assert [line for line in log if "emo" in line] == []
    assert (seed.returncode, seed.stdout) == (78, "")
    assert seed.stderr == "configuration: APP_ENV is production: demo data and demo passwords are refused\n"
    assert demo_password.returncode == 0
    world.assert_nothing_is_left()


# --- the list of targets ---------------------------------------------------------------


def listed_targets():
    """Return the targets that `make` alone lists."""
    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return re.findall(r"^  make ([a-z-]+) +\S", run.stdout, re.MULTILINE)


def test_make_alone_lists_what_the_readme_names():
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)\b", readme, re.MULTILINE))

    assert len(named) >= 6
    assert named <= set(listed_targets())


def test_each_listed_target_has_a_rule_and_is_no_file():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()

    assert sorted(listed_targets()) == sorted(phony)
