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


@pytest.mark.parametrize("command", ["run", "demo"])
@pytest.mark.parametrize(
    ("setting", "offset"),
    [("CUSTOMERS_PORT", 0), ("ORDERS_PORT", 0), ("ORCHESTRATOR_PORT", 0), ("ORCHESTRATOR_PORT", 1)],
)
def test_taken_port_is_one_line_that_names_the_setting(world, command, setting, offset):
    port = int(world.environ[setting]) + offset
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        run = stack_command(world, command)

    assert run.returncode == 1
    assert (run.stdout, run.stderr) == ("", f"stack: port {port} is in use; stop what listens there or set {setting}\n")
    world.assert_nothing_is_left()


BAD_SETTINGS = [
    ({"JWT_SECRET": "short"}, "JWT_SECRET"),
    ({"JWT_SECRET": "a" * 32 + "," + "b" * 31}, "JWT_SECRET"),
    ({"JWT_SECRET": "s" * 40, "SERVICE_TOKEN": "s" * 40}, "JWT_SECRET"),
    ({"SERVICE_TOKEN": "short"}, "SERVICE_TOKEN"),
    ({"APP_ENV": "staging"}, "APP_ENV"),
    ({"APP_ENV": "production"}, "JWT_SECRET"),
    ({"CANCEL_WINDOW_SECONDS": "ten"}, "CANCEL_WINDOW_SECONDS"),
    ({"ORDER_TTL_SECONDS": "-1"}, "ORDER_TTL_SECONDS"),
    ({"ORDERS_PORT": "0"}, "ORDERS_PORT"),
    ({"CUSTOMERS_API_BASE": "ftp://127.0.0.1"}, "CUSTOMERS_API_BASE"),
    ({"DB_NAME": "b2b; DROP"}, "DB_NAME"),
    ({"DB_PORT": "70000"}, "DB_PORT"),
    ({"DB_HOST": "127.0.0.1", "DB_USER": "", "DB_PASSWORD": ""}, "DB_USER"),
]
SETTING_IDS = [" ".join(f"{name}={value[:10]}" for name, value in change.items()) for change, _ in BAD_SETTINGS]


@pytest.mark.parametrize(("change", "name"), BAD_SETTINGS, ids=SETTING_IDS)
def test_bad_setting_stops_the_stack_with_one_line(world, change, name):
    run = stack_command(world, "run", **change)

    assert run.returncode == 78
    assert run.stdout == ""
    assert re.fullmatch(rf"configuration: {name}\b.*\n", run.stderr)
    world.assert_nothing_is_left()


@pytest.mark.parametrize(("change", "name"), BAD_SETTINGS, ids=SETTING_IDS)
@pytest.mark.parametrize("service", ["customers", "orders"])
def test_bad_setting_stops_a_service_with_one_line(world, service, change, name):
    port = world.environ[f"{service.upper()}_PORT"]
    options = ["-c", "common/gunicorn_conf.py", "--bind", f"127.0.0.1:{port}", f"{service}.app:get_app()"]

    run = run_module("gunicorn", *options, environ={**world.environ, **change})

    lines = (run.stdout + run.stderr).splitlines()
    assert run.returncode == 78
    assert len([line for line in lines if line.startswith(f"configuration: {name}")]) == 1
    assert "Traceback (most recent call last):" not in lines
    assert "s" * 40 not in run.stdout + run.stderr
    world.assert_nothing_is_left()


def test_unreachable_database_stops_the_stack_with_one_line(world):
    login = {"DB_HOST": "127.0.0.1", "DB_PORT": str(free_ports(1)[0]), "DB_USER": "b2b", "DB_PASSWORD": "unused"}

    run = stack_command(world, "run", **login)

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "127.0.0.1" in run.stderr
    world.assert_nothing_is_left()


# --- a program that dies ---------------------------------------------------------------


@pytest.fixture
def stillborn(tmp_path):
    """Return an environment in which a program of that name ends as soon as it starts."""

    def environ(name):
        (tmp_path / "sitecustomize.py").write_text(
            f"import os, sys\nif {name + '.app:get_app()'!r} in sys.orig_argv:\n"
            "    print('made to fail', flush=True)\n    os._exit(3)\n"
        )
        return {"PYTHONPATH": str(tmp_path)}

    return environ


@pytest.mark.parametrize("command", ["run", "demo"])
@pytest.mark.parametrize("service", ["customers", "orders"])
def test_service_that_dies_at_start_is_named_in_one_line(world, stillborn, command, service):
    run = stack_command(world, command, **stillborn(service))

    where = {"run": "its last lines are above", "demo": f"see .local/log/{service}.log"}[command]
    assert run.returncode == 1
    assert run.stderr == f"stack: {service} ended by itself; {where}\n"
    world.assert_nothing_is_left()


def test_two_settings_that_name_one_port_are_refused(world):
    run = stack_command(world, "run", ORDERS_PORT=world.environ["CUSTOMERS_PORT"])

    assert run.returncode == 78
    assert re.fullmatch(r"configuration: .*ORDERS_PORT.*\n", run.stderr)


# --- signals ---------------------------------------------------------------------------

MOMENTS = {
    "migrated": r"Schema .*\n",
    "seeded": r"Demo data is there.*\n",
    "first service starts": r".*Starting gunicorn.*\n",
    "first worker starts": r".*Booting worker.*\n",
    "ready": "ready\n",
}


SIGNALS = pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
# A terminal's Ctrl-C reaches every process of its group, `kill` one.
SENDERS = pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["process", "terminal"])


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


@SENDERS
@SIGNALS
@pytest.mark.parametrize("moment", MOMENTS)
def test_signal_at_any_moment_leaves_nothing(world, moment, number, status, send):
    process = start_in_its_own_group(world)
    with process.stdout:
        assert any(re.fullmatch(MOMENTS[moment], line) for line in iter(process.stdout.readline, ""))
        send(process.pid, number)
        output = process.stdout.read()

    assert process.wait(30) == status, output
    assert "dev/stack.py" not in output  # no traceback of it
    world.assert_nothing_is_left()


@SENDERS
@SIGNALS
def test_signal_in_the_middle_of_a_migration_leaves_nothing(world, number, status, send):
    # The lock of sql/migrate.py, held by us, keeps the stack there.
    world.cursor.execute("SELECT GET_LOCK(%s, 0)", (f"migrate:{world.schema}",))
    assert world.cursor.fetchone() == (1,)
    process = start_in_its_own_group(world)
    with process.stdout:
        wait_until(lambda: "User lock" in world.client_states())
        send(process.pid, number)
        output = process.stdout.read()
    world.cursor.execute("SELECT RELEASE_LOCK(%s)", (f"migrate:{world.schema}",))
    world.cursor.fetchone()

    assert process.wait(30) == status, output
    assert "dev/stack.py" not in output
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
