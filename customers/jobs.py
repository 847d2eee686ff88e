"""Jobs of Customers: `python -m customers.jobs purge`."""

import sys
import time

from common import idempotency, jobs, times
from common.config import Settings
from common.database import Database
from common.jobs import Summary
from common.times import Clock
from customers import login_store

BATCH = 500  # rows in a transaction
SECONDS = 60  # of a pass; what is left is the next one's


def purge(settings: Settings, database: Database, clock: Clock = times.utc_now) -> Summary:
    """Delete idempotency keys that have expired and counts of log-ins that are over, in small batches."""
    ends_at = time.monotonic() + SECONDS
    deleted = {}
    for name, delete in {"keys": idempotency.delete_expired, "logins": login_store.delete_old}.items():
        deleted[name], count = 0, BATCH
        while count == BATCH and time.monotonic() < ends_at:
            count = database.transact(delete, clock(), BATCH)
            deleted[name] += count
    return {"ok": True, **deleted}


JOBS: dict[str, jobs.Job] = {"purge": purge}
handle = jobs.make_handler("customers", JOBS)

if __name__ == "__main__":
    sys.exit(jobs.main("customers", JOBS))
