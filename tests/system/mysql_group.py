"""sql/mysql-cluster on a folder and ports of a test's own: three servers of one replication group."""

import os
import subprocess

from tests.system.mysql_server import ROOT, OwnServer, unpack_programs

SCRIPT = ROOT / "sql" / "mysql-cluster"


class Group:
    """The script's group below `home`, on `port` and the two after it; leaving the context removes all of it.

    `options` are further ones of each mysqld.
    """

    def __init__(self, home, port, options=""):
        self.home = home
        own = {"MYSQL_HOME": str(home), "MYSQL_PORT": str(port), "MYSQL_OPTIONS": options}
        self.environ = {name: value for name, value in os.environ.items() if "DB_" not in name} | own
        self.servers = [OwnServer(home / str(number), port + number - 1) for number in (1, 2, 3)]

    def __enter__(self):
        first = self.servers[0].home
        first.mkdir(parents=True)
        unpack_programs(first)
        return self

    def __exit__(self, *exception):
        self.kill()
        self.run("destroy")

    def run(self, *arguments, timeout=150):
        """Run the script to its end and return what it said."""
        return subprocess.run(
            [SCRIPT, *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self):
        """Start what is down, let it join, and expect that all three are there."""
        start = self.run("start")
        assert start.returncode == 0, start.stdout + start.stderr

    def states(self):
        """Return the role and state of each member, like "PRIMARY ONLINE"."""
        return [line.partition(" ")[2] for line in self.run("status").stdout.splitlines()]

    def primary(self):
        """Return the number, 1 to 3, of the member that says it is the primary; of two, the first."""
        return 1 + self.states().index("PRIMARY ONLINE")

    def server(self, number):
        """Return member `number`, 1 to 3."""
        return self.servers[number - 1]

    def kill(self):
        for server in self.servers:
            server.kill()

    def login(self, user, password):
        """Return the settings of a client that logs in as `user` and knows all members."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return {"DB_HOST": hosts, "APP_ENV": "development", "DB_USER": user, "DB_PASSWORD": password}
