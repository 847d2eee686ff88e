"""The two that measure: wrk sends ours requests, sysbench sends MySQL statements."""

import itertools
import json
import os
import re
import subprocess
from typing import Any

from bench.programs import BENCH, HOME
from common import times
from common.auth import Authenticator
from dev.stack import ROOT

# operation -> the program that is asked
OPERATIONS = {
    "get_product": "orders",
    "get_order": "orders",
    "list_orders": "orders",
    "create_customer": "customers",
    "create_order_1": "orders",
    "create_order_3": "orders",
    "create_order_20": "orders",
    "confirm": "orders",
    "replay": "orders",
    "cancel": "orders",
    "create_and_confirm": "orchestrator",
}
# Those that need orders which nobody has changed yet: more of them a second than anybody does.
CONSUMED_A_SECOND = {"confirm": 6000, "cancel": 6000, "create_and_confirm": 2000}

PRODUCTS = 1000  # as many as data.sql makes


class Clients:
    """Measures one operation at a time, of ours or of MySQL alone."""

    def __init__(self, settings, database_settings, server, programs):
        self._server = server
        self._programs = programs
        self._token = Authenticator(settings).issue_token("bench", "operator", times.utc_now())
        self._names = (f"{os.getpid()}-{number}" for number in itertools.count())
        self._login = [
            f"--mysql-host={database_settings.servers[0].host}",
            f"--mysql-port={database_settings.servers[0].port}",
            f"--mysql-user={database_settings.user}",
            f"--mysql-password={database_settings.password}",
            f"--mysql-db={database_settings.name}",
            # Encrypted, as our connections are. The files are called what sysbench wants.
            "--mysql-ssl=on",
        ]
        folder = HOME / "tls"
        folder.mkdir(exist_ok=True)
        for name, target in {"client-key": "client-key", "client-cert": "client-cert", "cacert": "ca"}.items():
            (folder / f"{name}.pem").unlink(missing_ok=True)
            (folder / f"{name}.pem").symlink_to(HOME / "mysql" / "data" / f"{target}.pem")

    def measure_ours(self, operation, clients, seconds, products=PRODUCTS) -> dict[str, Any]:
        """Return the figures of wrk, and what our processes, mysqld and its statements came to.

        Orders name the first `products`.
        """
        first = self._prepare(operation, seconds)
        before = self._counters()
        address = self._programs.addresses[OPERATIONS[operation]]
        figures = json.loads(
            _run(
                *(ROOT / ".local" / "wrk" / "wrk", "-t1", f"-c{clients}", f"-d{seconds}", "--timeout=30"),
                *("-s", BENCH / "requests.lua", address, "--"),
                *(operation, self._token, next(self._names), first, products),
            ).splitlines()[-1]
        )
        count = figures["requests"]
        if count == 0:
            raise SystemExit(f"bench: not one {operation} was answered in {seconds} s; see {HOME}/*.log")
        ours, mysqld, statements = (after - earlier for earlier, after in zip(before, self._counters(), strict=True))
        return {
            **figures,
            "per_second": count / figures["seconds"],
            "cpu_ours": 1000 * ours / count,
            "cpu_mysqld": 1000 * mysqld / count,
            "statements": statements / count,
        }

    def measure_limit(self, operation, clients, seconds, products=PRODUCTS) -> float:
        """Return how many a second sysbench gets through."""
        first = self._prepare(operation, seconds)
        output = _run(
            *(
                ROOT / ".local" / "sysbench" / "sysbench",
                BENCH / "limit.lua",
                f"--threads={clients}",
                f"--time={seconds}",
            ),
            *(*self._login, f"--operation={operation}", f"--run={next(self._names)}", f"--first={first}"),
            *(f"--products={products}", "run"),
            cwd=HOME / "tls",
        )
        (rate,) = re.findall(r"transactions: +\d+ +\(([0-9.]+) per sec", output)
        return float(rate)

    def _prepare(self, operation, seconds):
        """Return the first of the orders that the operation may change."""
        self._server.settle()
        return self._server.make_orders(CONSUMED_A_SECOND[operation] * seconds) if operation in CONSUMED_A_SECOND else 1

    def _counters(self):
        return self._programs.cpu_seconds(), self._server.cpu_seconds(), self._server.statements()


def _run(*command, cwd=None):
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: {words[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
