"""What is counted, for Prometheus. `common/metrics_page.py` serves it.

Each worker of gunicorn counts in files of its own, in a folder that all of them share: gunicorn_conf.py names it in
PROMETHEUS_MULTIPROC_DIR before anything imports this module. Without it (tests, jobs, functions) a process counts for
itself. No label has an id, a name or anything else that a client sends: each value would be a series.
"""

import functools
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from common import problems

Metric = TypeVar("Metric", Counter, Histogram)

COUNTED = CollectorRegistry()
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "b2b_requests_total",
    "Requests by route template, unmatched where there is none, and class of status.",
    ["service", "method", "route", "status"],
    registry=COUNTED,
)
REQUEST_SECONDS = Histogram(
    "b2b_request_seconds",
    "Time from a request's headers to its answer.",
    ["service", "method", "route"],
    buckets=_SECONDS,
    registry=COUNTED,
)
PROBLEMS = Counter("b2b_problems_total", "Refusals and failures by their code.", ["code"], registry=COUNTED)
TRANSACTIONS = Counter(
    "b2b_transactions_total",
    "Transactions by outcome; unknown is a COMMIT that wasn't answered.",
    ["outcome"],
    registry=COUNTED,
)
RETRIES = Counter(
    "b2b_transaction_retries_total", "Attempts that InnoDB ended, by its reason.", ["cause"], registry=COUNTED
)
REPLAYS = Counter(
    "b2b_idempotent_replays_total", "Answers that were given again for a known key.", ["operation"], registry=COUNTED
)
LOGINS = Counter("b2b_logins_total", "Log-ins by outcome.", ["outcome"], registry=COUNTED)
UPSTREAM_SECONDS = Histogram(
    "b2b_upstream_seconds",
    "Time of each call from Orders to Customers, by outcome.",
    ["outcome"],
    buckets=_SECONDS,
    registry=COUNTED,
)


@functools.cache
def of(metric: Metric, *values: str) -> Metric:
    """Return the metric for these values of its labels; kept, for looking it up takes longer than counting."""
    return metric.labels(*values)


# From the start, so that the first one is an increase. A histogram, too: with the first counter and the first histogram
# a worker opens its files, and no request may fail because their folder is gone.
of(UPSTREAM_SECONDS, "answered")
for _outcome in ("committed", "rolled_back", "busy", "unknown"):
    of(TRANSACTIONS, _outcome)
for _cause in ("deadlock", "lock_timeout", "read_only", "group_rollback"):
    of(RETRIES, _cause)
for _outcome in ("ok", "refused", "throttled"):
    of(LOGINS, _outcome)
for _problem in problems.REGISTRY.values():
    if _problem.status >= 500:
        of(PROBLEMS, _problem.code)
