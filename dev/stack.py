"""The whole product on one machine: `python -m dev.stack run|demo|offline|test|mutants`; the Makefile says what.

What is started here is stopped here: the programs, and the private MySQL unless somebody else is using it.
"""

import contextlib
import fcntl
import functools
import multiprocessing
import pathlib
import runpy
import signal
import socket
import subprocess
import sys
import threading

from honcho.environ import parse_procfile
from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Printer

from common import config

ROOT = pathlib.Path(__file__).parent.parent
LOGS = ROOT / ".local" / "log"
MYSQL_SERVER = ROOT / "sql" / "mysql-server"

PROGRAMS = ("customers", "orders", "orchestrator")
TESTS = {"test": "pytest", "mutants": "tests.mutants"}  # command -> module
PROCFILE = parse_procfile((ROOT / "dev" / "Procfile").read_text()).processes


class Output(Printer):
    """Prints the programs' lines with their names in front, people's as they are, and honcho's own not at all."""

    first_stopped = ""

    def write(self, message):
        """Print one line, unless the terminal was closed."""
        if message.name != SYSTEM_PRINTER_NAME:
            self.prefix = message.name in PROGRAMS
            with contextlib.suppress(OSError):
                super().write(message)
        elif not self.first_stopped and " stopped " in message.data:
            self.first_stopped = message.data.split()[0]


class Stack(Manager):
    """honcho's manager, which also takes a signal before all processes have started."""

    def terminate(self):
        """Stop them all; honcho's own fails while one has no pid yet."""
        if self._all_started():
            super().terminate()
        elif multiprocessing.parent_process() is None:  # Ctrl-C reaches honcho's helper processes too
            threading.Timer(0.1, self.terminate).start()


def run_processes(names, environ):
    """Run processes of the Procfile until one ends or a signal comes; return a status."""
    output = Output(sys.stdout)
    stack = Stack(output)
    for name in names:
        # The demo has the terminal for itself.
        redirection = f" > .local/log/{name}.log 2>&1" if "demo" in names and name != "demo" else ""
        stack.add_process(name, PROCFILE[name] + redirection, env=environ, cwd=str(ROOT))
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))  # a closed terminal
    stack.loop()
    if stack.returncode not in (130, 143) and output.first_stopped != "demo":
        raise SystemExit(f"stack: {output.first_stopped} ended by itself; its last lines are above or in .local/log")
    return stack.returncode


def require_free_ports(settings, programs):
    """Raise SystemExit, naming the setting, if a port of one of the programs is taken."""
    for name in programs:
        first = getattr(settings, f"{name}_port")
        for port in range(first, first + 1 + (name == "orchestrator")):  # serverless offline takes two
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except OSError:
                raise SystemExit(f"stack: port {port} is taken; free it or set {name.upper()}_PORT") from None


def run_step(*command, environ):
    """Run a preparing command; end with its status if it fails (it has said why)."""
    if status := subprocess.call(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL):
        raise SystemExit(status)


@contextlib.contextmanager
def private_mysql(environ):
    """Have the private server run."""
    ask = functools.partial(subprocess.run, env=environ, capture_output=True, check=False)
    with (LOGS.parent / "mysql-users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # each stack and test run has a share of it, idle or not
        was_running = ask([MYSQL_SERVER, "status"]).returncode == 0
        try:
            run_step(MYSQL_SERVER, "start", environ=environ)
            yield
        finally:
            with contextlib.suppress(BlockingIOError):
                # Whoever comes now waits until the server is stopped, and starts it again.
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # If it didn't start, whoever has its port may be no MySQL, and is not asked.
                is_ours = not was_running and ask([MYSQL_SERVER, "status"]).returncode == 0
                # Of all accounts: a list of processes would be of this one's.
                connected = "SHOW GLOBAL STATUS LIKE 'Threads_connected'"
                if is_ours and ask([MYSQL_SERVER, "client", "-BNe", connected]).stdout.split()[1:] == [b"1"]:
                    ask([MYSQL_SERVER, "stop"])


def main(command, *options):
    """Run one of the commands; return an exit status."""
    # On KeyboardInterrupt the tests' fixtures stop what they started. The others: until honcho takes the signals over.
    on_signal = signal.default_int_handler if command in TESTS else lambda number, frame: sys.exit(128 + number)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    environ = config.read_environment()
    with config.exit_on_error():
        settings = config.load_settings(environ)
        for service in ("", *PROGRAMS[:2]):
            config.load_database_settings(environ, service)
    LOGS.mkdir(parents=True, exist_ok=True)
    mysql = contextlib.nullcontext() if environ.get("DB_HOST") else private_mysql(environ)
    if command in TESTS:
        sys.argv[1:] = options
        with mysql:
            runpy.run_module(TESTS[command], run_name="__main__", alter_sys=True)  # ends in SystemExit
    environ |= {f"{name.upper()}_PORT": str(getattr(settings, f"{name}_port")) for name in PROGRAMS} | {
        "ORCHESTRATOR_LAMBDA_PORT": str(settings.orchestrator_port + 1),
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": sys.prefix,  # serverless offline runs the python3 that it finds there
        "PATH": f"{sys.prefix}/bin:{environ['PATH']}",
    }
    if command == "offline":
        require_free_ports(settings, ["orchestrator"])
        return run_processes(["orchestrator"], environ)
    require_free_ports(settings, PROGRAMS)
    with mysql:
        run_step(sys.executable, "-m", "sql.migrate", environ=environ)
        if settings.app_env == "development":
            run_step(sys.executable, "-m", "sql.seed", environ=environ)
        return run_processes([*PROGRAMS, "demo" if command == "demo" else "ready"], environ)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
