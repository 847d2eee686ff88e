"""What the benchmark starts, and what it can see of it: processor time, memory, statements."""

import os
import pathlib
import re
import subprocess
import sys
import time

from dev.ready import wait_for_programs
from dev.stack import MYSQL_SERVER, PROCFILE, ROOT, run_step
from sql.migrate import open_connection

HOME = ROOT / ".local" / "bench"
BENCH = ROOT / "bench"

# As durable as production: what is committed is on the disk, in both logs. Old binary logs go at the next start.
DURABLE = "--log-bin --sync-binlog=1 --innodb-flush-log-at-trx-commit=1 --binlog-expire-logs-seconds=60"
# The memory is for the data to fit, as it should there.
MYSQL_OPTIONS = f"{DURABLE} --performance-schema=ON --innodb-buffer-pool-size=1G --innodb-redo-log-capacity=1G"
# Beside a `make run` and a `make test`, and undisturbed by what is set for those.
ENVIRONMENT = {
    "APP_ENV": "development",
    "DB_HOST": "",
    "DB_PORT": "23307",
    "DB_USER": "",
    "DB_PASSWORD": "",
    "CUSTOMERS_DB_USER": "",
    "CUSTOMERS_DB_PASSWORD": "",
    "ORDERS_DB_USER": "",
    "ORDERS_DB_PASSWORD": "",
    "DB_NAME": "b2b_bench",
    "MYSQL_PORT": "23307",
    "MYSQL_HOME": str(HOME / "mysql"),
    "MYSQL_OPTIONS": MYSQL_OPTIONS,
    "CUSTOMERS_PORT": "3101",
    "ORDERS_PORT": "3102",
    "ORCHESTRATOR_PORT": "3103",
    "CUSTOMERS_API_BASE": "http://127.0.0.1:3101",
    "ORDERS_API_BASE": "http://127.0.0.1:3102",
}
COMMANDS = {
    "customers": PROCFILE["customers"],
    "orders": PROCFILE["orders"],
    # As on Lambda, a process answers one event at a time.
    "orchestrator": "exec python -m gunicorn -c common/gunicorn_conf.py --bind 127.0.0.1:$ORCHESTRATOR_PORT"
    " --workers 8 --worker-class sync --threads 1 'bench.orchestrator:get_app()'",
}
# A thousand more orders, past the last one, with their lines.
MORE_ORDERS = (
    """
    INSERT INTO orders (id, customer_id, customer_name, customer_email, status, total_cents, created_at)
    SELECT %s + id, id, name, email, 'CREATED', 3000, UTC_TIMESTAMP(6) FROM customers WHERE id <= 1000
    """,
    """
    INSERT INTO order_items (order_id, product_id, line_no, sku, name, qty, unit_price_cents, subtotal_cents)
    SELECT %s + order_id, product_id, line_no, sku, name, qty, unit_price_cents, subtotal_cents
      FROM order_items WHERE order_id <= 1000
    """,
)


class Server:
    """A MySQL of the benchmark's own, with a schema made anew."""

    def __init__(self, environ, settings):
        self._environ = environ
        self._settings = settings

    def __enter__(self):
        run_step(MYSQL_SERVER, "start", environ=self._environ)
        with open_connection(self._settings) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE `{self._settings.name}`")
        run_step(sys.executable, "-m", "sql.migrate", environ=self._environ)
        self._connection = open_connection(self._settings)
        self._connection.autocommit = True
        for statement in (BENCH / "data.sql").read_text().split(";\n"):
            self._execute(statement)
        return self

    def __exit__(self, *exception):
        self._connection.close()
        run_step(MYSQL_SERVER, "stop", environ=self._environ)

    def _execute(self, statement, values=()):
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.with_rows else []

    def cpu_seconds(self):
        """Return the processor's seconds that mysqld has had."""
        return cpu_seconds(int((HOME / "mysql" / "data" / "mysqld.pid").read_text()))

    def statements(self):
        """Return how many statements clients have sent."""
        ((_, count),) = self._execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(count)

    def version(self):
        """Return MySQL's."""
        ((version,),) = self._execute("SELECT VERSION()")
        return version

    def settle(self):
        """Return when nobody asks any more: wrk ends without waiting for its last answers."""
        count = 0
        while (after := self.statements()) > count + 1:
            count = after
            time.sleep(0.1)  # whoever still asks does so within it

    def make_orders(self, count):
        """Make `count` orders (a multiple of 1,000) that can be confirmed or canceled; return the first's id."""
        ((last,),) = self._execute("SELECT MAX(id) FROM orders")
        for offset in range(last, last + count, 1000):
            for statement in MORE_ORDERS:
                self._execute(statement, (offset,))
        return last + 1


class Programs:
    """The two services and the orchestrator's handler, each under gunicorn."""

    def __init__(self, environ, settings):
        self.addresses = {name: f"http://127.0.0.1:{getattr(settings, f'{name}_port')}" for name in COMMANDS}
        self._environ = environ
        self._settings = settings
        self._processes = {}

    def __enter__(self):
        HOME.mkdir(parents=True, exist_ok=True)
        for name, command in COMMANDS.items():
            with (HOME / f"{name}.log").open("w") as log:
                self._processes[name] = subprocess.Popen(
                    ["/bin/sh", "-c", command],
                    cwd=ROOT,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        try:
            wait_for_programs(self._settings)  # their logs are in .local/bench
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(timeout=30)

    def cpu_seconds(self):
        """Return the processor's seconds that all their processes have had, gunicorn's own included."""
        return sum(cpu_seconds(pid) for parent in self._processes.values() for pid in (parent.pid, *_children(parent)))

    def memory(self):
        """Return {program: resident megabytes of its largest worker}."""
        return {name: max(map(_resident_mb, _children(parent))) for name, parent in self._processes.items()}


def cpu_seconds(pid):
    """Return the seconds, user's and system's, that a process has had of the processors."""
    # The name, in brackets, may hold spaces; utime and stime are the 14th and 15th field.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(process):
    return [int(pid) for pid in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _resident_mb(pid):
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) / 1024
