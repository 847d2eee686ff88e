"""`GET /metrics`: what all workers of this gunicorn have counted, and what the database says."""

import logging
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import falcon
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from common.config import Settings
from common.connection import Cursor
from common.database import Database
from common.health import PATIENCE_SECONDS
from common.metrics import COUNTED
from common.web import Request

log = logging.getLogger(__name__)

KEPT = 10  # seconds that the database's answers count; more than one may scrape

# name -> (help, statement). The statement selects `value`; its other columns are labels.
Gauges = Mapping[str, tuple[str, str]]

# The label isn't `job`: that one is Prometheus' own, of whom it scrapes.
JOB_GAUGES: Gauges = {
    "b2b_job_last_success_timestamp_seconds": (
        "When a pass of the job last ended well, in seconds since 1970.",
        "SELECT job AS pass, UNIX_TIMESTAMP(succeeded_at) AS value FROM job_runs WHERE succeeded_at IS NOT NULL",
    ),
    "b2b_job_ok": (
        "1 if the last pass of the job ended well, else 0.",
        "SELECT job AS pass, succeeded_at <=> finished_at AS value FROM job_runs",
    ),
}


def routes(settings: Settings, database: Database, gauges: Gauges) -> list[tuple[str, object]]:
    """Return the page's route; none in production without METRICS_TOKEN."""
    return [("/metrics", MetricsPage(DatabaseCollector(database, {**gauges, **JOB_GAUGES})))] * settings.has_metrics


class DatabaseCollector:
    """Asks the database for the gauges; while it doesn't answer there are none but `b2b_database_up`."""

    def __init__(self, database: Database, gauges: Gauges, monotonic: Callable[[], float] = time.monotonic):
        self._database = database
        self._gauges = gauges
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._families: list[Metric] = []

    def collect(self) -> list[Metric]:
        """Return the gauges, at most KEPT seconds old."""
        with self._lock:
            if self._monotonic() - self._asked_at >= KEPT:
                self._families = self._ask()
                self._asked_at = self._monotonic()
            return self._families

    def _ask(self):
        families = []
        try:
            self._database.probe.ask().result(PATIENCE_SECONDS)
            families = self._database.read(_select, self._gauges)
        except Exception as ex:  # noqa: BLE001 - whatever it is, what was counted has to be shown
            log.warning("gauges are missing: %s", type(ex).__name__)
        return [_gauge("b2b_database_up", "1 if the database answers, else 0.", bool(families)), *families]


def _select(cursor: Cursor, gauges: Gauges) -> list[Metric]:
    families = []
    for name, (text, statement) in gauges.items():
        cursor.execute(statement)
        families.append(Metric(name, text, "gauge"))
        for row in cursor.fetchall():
            value = float(row.pop("value"))
            families[-1].add_sample(name, row, value)
    return families


def _gauge(name, text, value):
    family = Metric(name, text, "gauge")
    family.add_sample(name, {}, float(value))
    return family


@dataclass(frozen=True)
class MetricsPage:
    """`/metrics`"""

    gauges: DatabaseCollector

    def on_get(self, req: Request, resp: falcon.Response):
        """Send Prometheus' text format."""
        resp.data = generate_latest(self)
        resp.content_type = CONTENT_TYPE_PLAIN_0_0_4

    on_head = on_get

    def collect(self) -> Iterator[Metric]:
        """Yield all there is: a collector for the library."""
        yield from self.gauges.collect()
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder is None:
            yield from COUNTED.collect()
        else:
            # Files of workers that are gone stay, or counters would go back.
            yield from MultiProcessCollector(None, folder).collect()
            workers = len(list(pathlib.Path(folder).glob("counter_*.db")))
            yield _gauge("b2b_workers_started", "Workers since the start; those beyond two replaced others.", workers)
