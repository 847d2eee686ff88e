"""sql/mysql-server on a folder and a port of a test's own."""

import os
import pathlib
import signal
import subprocess
from contextlib import contextmanager

import mysql.connector

ROOT = pathlib.Path(__file__).parent.parent.parent
SCRIPT = ROOT / "sql" / "mysql-server"
# Where the packages of the tests' own server may lie unpacked, if it is one of ours.
UNPACKED = pathlib.Path(os.environ.get("MYSQL_HOME") or ROOT / ".local" / "mysql") / "server"


class OwnServer:
    """The script's server below `home`; leaving the context removes all of it."""

    def __init__(self, home, port):
        self.home = home
        self.port = port
        own = {"MYSQL_HOME": str(home), "MYSQL_PORT": str(port)}
        self.environ = {name: value for name, value in os.environ.items() if "DB_" not in name} | own

    def __enter__(self):
        self.home.mkdir()
        unpack_programs(self.home)
        return self

    def __exit__(self, *exception):
        self.kill()
        self.run("destroy")

    def run(self, *arguments, stdin="", timeout=90, **environ):
        """Run the script to its end and return what it said."""
        return subprocess.run(
            [SCRIPT, *arguments],
            env=self.environ | environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start_in_background(self):
        """Begin a start, in a process group of its own."""
        return subprocess.Popen(
            [SCRIPT, "start"],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def query(self, statements):
        """Return what the client prints for statements, without headings."""
        run = self.run("client", "--batch", "--skip-column-names", stdin=statements)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def pids(self):
        """Return the pids of the servers that run on our data."""
        wanted = f"--datadir={self.home}/data".encode()
        return [
            int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if wanted in arguments(path)
        ]

    def kill(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def root(self):
        """A cursor of the administrator."""
        socket = str(self.home / "data" / "mysql.sock")
        with mysql.connector.connect(unix_socket=socket, user="root", use_pure=False) as root, root.cursor() as cursor:
            yield cursor

    def login(self, user, password):
        """Return the settings of a client that logs in as `user`."""
        address = {"DB_HOST": "127.0.0.1", "DB_PORT": str(self.port), "APP_ENV": "development"}
        return address | {"DB_USER": user, "DB_PASSWORD": password}


def unpack_programs(home):
    """Put the programs of the tests' own server below `home`, if they lie unpacked."""
    if UNPACKED.is_dir():
        # Linked where that is possible: 350 MB, and a download less.
        link = subprocess.run(["cp", "-al", UNPACKED, home], stderr=subprocess.DEVNULL, check=False)
        if link.returncode != 0:
            subprocess.run(["cp", "-a", UNPACKED, home], check=True)


def arguments(path):
    """Return a process's command line, empty when it has just ended."""
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []


@contextmanager
def stopped(servers):
    """Stop servers as if their machines stood still."""
    pids = [pid for server in servers for pid in server.pids()]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
