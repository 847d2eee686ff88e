"""How gunicorn runs both services: `gunicorn -c common/gunicorn_conf.py "orders.app:get_app()"`."""

import os
import shutil
import tempfile

from common import logs

# Not the module: gunicorn would take its name for its own setting `config`.
from common.config import exit_on_error, load
from common.documentation import require_files
from common.gunicorn_worker import bound_waiting

worker_class = "common.gunicorn_worker.Worker"
workers = 2
# A thread waits for MySQL or Customers most of its time. Eight may wait for MySQL (common/database.py), two for
# Customers (orders/customers_client.py). Two are left for health checks and refusals. More threads cost time:
# they take turns at the interpreter.
threads = 12

# Of clients, for a worker. A process may commonly have 1,024 files open, and one that wants more dies; what is left
# is for MySQL, Customers, and what Python has open.
worker_connections = 900

post_worker_init = bound_waiting

# Seconds. No limit on requests, since gthread's main thread reports for the worker: the timeouts of the
# database and the clients bound those. A worker that is stuck this long is killed.
timeout = 60
# The heartbeat file is in memory: it never stalls, and works on a read-only root.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn makes a file without a name there
# Longer than the longest request: four lock waits of 2 s, two customer checks of 1.9 s.
graceful_timeout = 20
# Longer than a load balancer keeps an idle connection (60 s with most), or it sends a
# request into one that we are closing and answers 502.
keepalive = 75

# The kernel's sendfile waits without a limit for a client that has stopped reading.
sendfile = False

# X-Forwarded-* from nobody: no answer of ours depends on them.
forwarded_allow_ips = ""

logger_class = "common.gunicorn_worker.Logger"

# We don't use the control socket, and two services on one machine would share it.
control_socket_disable = True

http_parser = "fast"  # in C: 1.5 times the requests of the Python one, on an app that does nothing


def on_starting(server):
    """Refuse to start on a bad setting: here, once, and not in workers that are started again and again."""
    service = server.app.app_uri.partition(".")[0]  # of "orders.app:get_app()"
    logs.Formatter.service = service
    with exit_on_error():
        settings, database = load(service)
        if settings.api_docs:
            require_files()
    if database.is_shared:
        server.log.warning(
            "%s_DB_USER is not set: %s logs in as DB_USER, and may do more than it needs (docs/scaling.md)",
            service.upper(),
            service,
        )
    # Where the workers count (common/metrics.py): a new folder for each server, so that nothing old is read. In memory,
    # as above. The library looks for it when it is imported, so nobody may import it before the workers do.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="b2b-metrics-", dir="/dev/shm")


def on_exit(server):
    """Remove what the workers have counted."""
    shutil.rmtree(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
