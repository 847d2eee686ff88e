"""The whole product on one machine: `python -m dev.stack run|demo|offline|test|mutants`.

    run      the three programs with demo data, in the foreground, until Ctrl-C or TERM
    demo     the same, then dev/demo.py against them, then stops them
    offline  the orchestrator alone
    test     pytest, with a database to run on
    mutants  the same for tests/mutants.py

Whatever is started here is stopped here: the programs always, the private MySQL if it
was started here and nobody else is using it.
"""

import fcntl
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys

import mysql.connector
from honcho.manager import KILL_WAIT, Manager
from honcho.printer import Printer

from common import config

ROOT = pathlib.Path(__file__).parent.parent
LOGS = ROOT / ".local" / "log"
MYSQL_SERVER = ROOT / "sql" / "mysql-server"
MYSQL_USERS = ROOT / ".local" / "mysql-users"
PYTEST_END_SECONDS = 30  # a stack that its fixtures started takes some five seconds to end


class PlainPrinter(Printer):
    """Prints what is meant for people as it is, and the programs' logs with their names."""

    def write(self, message):
        """Write one message of a process; go on in silence when nobody reads any more."""
        self.prefix = message.name not in ("demo", "ready")
        try:
            super().write(message)
        except BrokenPipeError:
            self.output = pathlib.Path(os.devnull).open("w")  # noqa: SIM115 - for as long as we run


class Stack(Manager):
    """honcho's manager, quiet, and leaving nothing behind whenever and however it ends."""

    def __init__(self):
        super().__init__(printer=PlainPrinter(sys.stdout))
        self.first_stopped = None
        self._stop_wanted = False

    def loop(self):
        """Run until a process ends or a signal comes; a closed terminal counts as TERM."""
        signal.signal(signal.SIGHUP, lambda signum, frame: os.kill(os.getpid(), signal.SIGTERM))
        try:
            super().loop()
        except BaseException:
            self.terminate()
            for process in self._processes.values():
                process["process"].join(KILL_WAIT)
            self.kill()
            raise

    def terminate(self):
        """Stop all processes; honcho's own fails while one of them has no pid yet."""
        self._stop_wanted = True
        if self._all_started():
            super().terminate()

    def _system_print(self, data):
        # honcho says here that a process started or stopped; nothing of it is printed.
        if self.first_stopped is None:
            self.first_stopped = next((name for name, p in self._processes.items() if "returncode" in p), None)
        if self._stop_wanted and not self._terminating:
            self.terminate()


# --- what runs -------------------------------------------------------------------------


def gunicorn(app, port):
    """Return the command that serves one of the two APIs."""
    address = f"127.0.0.1:{port}"
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "common/gunicorn_conf.py",
        "--bind",
        address,
        f"{app}.app:get_app()",
    ]


def serverless_offline():
    """Return the command that serves the orchestrator."""
    # The program itself: through npx or npm run, TERM would end the launcher only.
    return [str(ROOT / "node_modules" / ".bin" / "serverless"), "offline"]


def run_processes(commands, environ, log_to_files=()):
    """Run the commands, {name: argument list}, until one ends or a signal comes; return a status.

    Those named in `log_to_files` write to .local/log instead of the terminal.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    stack = Stack()
    for name, command in commands.items():
        line = "exec " + shlex.join(command)
        if name in log_to_files:
            line += f" > {shlex.quote(str(LOGS / name))}.log 2>&1"
        stack.add_process(name, line, env=environ, cwd=str(ROOT))
    stack.loop()
    stopped = stack.first_stopped
    if stack.returncode not in (130, 143) and stopped not in (None, "demo"):
        where = f"see .local/log/{stopped}.log" if stopped in log_to_files else "its last lines are above"
        raise SystemExit(f"stack: {stopped} ended by itself; {where}")
    return stack.returncode


def require_free_ports(settings, names):
    """Raise SystemExit, naming the setting, if one of the ports is taken."""
    wanted = {
        "CUSTOMERS_PORT": [settings.customers_port],
        "ORDERS_PORT": [settings.orders_port],
        "ORCHESTRATOR_PORT": [settings.orchestrator_port, settings.orchestrator_port + 1],
    }
    for name in names:
        for port in wanted[name]:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    raise SystemExit(f"stack: port {port} is in use; stop what listens there or set {name}") from None


# --- the database ----------------------------------------------------------------------


class PrivateMySQL:
    """The private server for as long as it is needed; does nothing when DB_HOST is set."""

    def __init__(self, environ):
        self._is_wanted = not environ.get("DB_HOST")
        self._started_here = False
        self._environ = environ

    def __enter__(self):
        if self._is_wanted:
            # Each stack and test run holds a share of this lock, idle or not; it ends with its process.
            MYSQL_USERS.parent.mkdir(parents=True, exist_ok=True)
            self._users = MYSQL_USERS.open("w")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            status = subprocess.run(
                [MYSQL_SERVER, "status"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            self._started_here = status.returncode != 0
            try:
                run_step([MYSQL_SERVER, "start"], self._environ)
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(self, *exception):
        self._stop()

    def _stop(self):
        if self._started_here and not self._is_used_by_others():
            subprocess.run([MYSQL_SERVER, "stop"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)

    def _is_used_by_others(self):
        """Tell whether another stack or test run is alive, or anybody else connected."""
        try:
            # Whoever comes now waits until the server is stopped, and starts it again.
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        settings = config.load_database_settings(self._environ)
        try:
            with (
                mysql.connector.connect(
                    host=settings.host,
                    port=settings.port,
                    user=settings.user,
                    password=settings.password,
                    use_pure=False,
                ) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("SHOW PROCESSLIST")  # an application user sees its own connections
                return len(cursor.fetchall()) > 1
        except mysql.connector.Error:
            return False


def run_step(command, environ):
    """Run a preparing command; end with its status if it fails (it has said why)."""
    status = subprocess.run(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, check=False).returncode
    if status != 0:
        raise SystemExit(status)


def prepare_schema(settings, environ):
    """Migrate, and add the demo data outside production."""
    run_step([sys.executable, "-m", "sql.migrate"], environ)
    if settings.app_env == "development":
        run_step([sys.executable, "-m", "sql.seed"], environ)


# --- commands --------------------------------------------------------------------------


def run_stack(settings, environ, last, log_to_files):
    """Run the three programs and `last`, which waits for them; return a status."""
    require_free_ports(settings, ["CUSTOMERS_PORT", "ORDERS_PORT", "ORCHESTRATOR_PORT"])
    with PrivateMySQL(environ):
        prepare_schema(settings, environ)
        commands = {
            "customers": gunicorn("customers", settings.customers_port),
            "orders": gunicorn("orders", settings.orders_port),
            "orchestrator": serverless_offline(),
            last: [sys.executable, "-m", f"dev.{last}"],
        }
        return run_processes(commands, environ, log_to_files)


def main(arguments):
    """Run one of the commands; return an exit status."""
    # So that TERM unwinds what is being prepared; honcho takes the signals over later.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(143))
    environ = config.read_environment()
    with config.exit_on_error():
        settings = config.load_settings(environ)
        config.load_database_settings(environ)
    environ = environment_of_programs(environ, settings)
    match arguments:
        case ["run"]:
            return run_stack(settings, environ, "ready", log_to_files=())
        case ["demo"]:
            return run_stack(settings, environ, "demo", log_to_files=("customers", "orders", "orchestrator"))
        case ["offline"]:
            require_free_ports(settings, ["ORCHESTRATOR_PORT"])
            return run_processes({"orchestrator": serverless_offline()}, environ)
        case ["test", *options]:
            with PrivateMySQL(environ):
                return run_tests("pytest", options)
        case ["mutants", *names]:
            with PrivateMySQL(environ):
                return run_tests("tests.mutants", names)
    raise SystemExit("usage: python -m dev.stack run|demo|offline|test|mutants")


def run_tests(module, arguments):
    """Run pytest, or what runs it, and return its status; when stopped, let it stop what its fixtures started."""
    tests = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT)
    try:
        return tests.wait()
    except KeyboardInterrupt:
        tests.wait(PYTEST_END_SECONDS)  # the terminal has sent it the same Ctrl-C
        raise
    except SystemExit:
        tests.send_signal(signal.SIGINT)  # on TERM it would end without its fixtures
        tests.wait(PYTEST_END_SECONDS)
        raise


def environment_of_programs(environ, settings):
    """Return the environment with what the programs need to find each other."""
    return {
        **environ,
        "PYTHONUNBUFFERED": "1",
        "CUSTOMERS_API_BASE": settings.customers_api_base,
        "ORDERS_API_BASE": settings.orders_api_base,
        "ORCHESTRATOR_PORT": str(settings.orchestrator_port),
        "ORCHESTRATOR_LAMBDA_PORT": str(settings.orchestrator_port + 1),
        # serverless offline runs the python3 that it finds here first.
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{sys.prefix}/bin{os.pathsep}{environ.get('PATH', os.defpath)}",
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
    }


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
