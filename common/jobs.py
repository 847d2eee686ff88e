"""Jobs: what is done from time to time, one pass a call, as a command or as a scheduled Lambda function.

Any number of passes may run at once, and any may be killed: they lock row by row, and no job waits for another.
"""

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from common import config, logs, strict_json, times
from common.connection import Cursor
from common.database import Database
from common.problems import Busy, DatabaseUnavailable

EX_TEMPFAIL = 75  # sysexits.h: try again later

# What a pass did, as its line of JSON says it; `ok` is false where something is wrong that somebody has to see.
Summary = dict[str, Any]
Job = Callable[[config.Settings, Database], Summary]


def run(service: str, jobs: dict[str, Job], name: str) -> Summary:
    """Run one pass with the settings of a service in the environment; return its summary."""
    started = time.monotonic()
    settings, database_settings = config.load(service)
    database = Database(database_settings)
    try:
        summary = jobs[name](settings, database)
        database.transact(record, name, times.utc_now(), summary["ok"])
    finally:
        database.close()
    return {"job": name, **summary, "seconds": round(time.monotonic() - started, 3)}


def record(tx: Cursor, name: str, now: datetime, is_ok: bool):
    """Say for /metrics that a pass has ended."""
    tx.execute(
        """
        INSERT INTO job_runs (job, finished_at, succeeded_at)
        VALUES (%s, %s, %s) AS run
            ON DUPLICATE KEY UPDATE finished_at = run.finished_at,
                                    succeeded_at = COALESCE(run.succeeded_at, job_runs.succeeded_at)
        """,
        (name, now, now if is_ok else None),
    )


def main(service: str, jobs: dict[str, Job]) -> int:
    """Run the job that the command line names, and print its summary; return the exit status."""
    if len(sys.argv) != 2 or sys.argv[1] not in jobs:
        print(f"jobs: say one of {', '.join(jobs)}", file=sys.stderr)
        return 2
    logs.configure(service)
    try:
        with config.exit_on_error():
            summary = run(service, jobs, sys.argv[1])
    except (Busy, DatabaseUnavailable) as ex:
        why = logs.words_of(ex.__cause__ or ex)
        print(f"{sys.argv[1]}: the database does not answer, or is too busy: {why}", file=sys.stderr)
        return EX_TEMPFAIL
    print(strict_json.dumps(summary).decode(), flush=True)
    return 0 if summary["ok"] else 1


def make_handler(service: str, jobs: dict[str, Job]) -> Callable[[dict[str, Any], Any], Summary]:
    """Return a Lambda handler of scheduled events `{"job": name}`; one whose pass is not `ok` raises, for the alarm."""

    def handle(event, context):
        """Run one pass."""
        logs.configure(service, "stdout")
        summary = run(service, jobs, event["job"])
        print(strict_json.dumps(summary).decode(), flush=True)
        if not summary["ok"]:
            raise RuntimeError(f"{event['job']} found something wrong")
        return summary

    return handle
