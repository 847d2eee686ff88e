"""Jobs of Orders: `python -m orders.jobs expire|verify`."""

import logging
import sys
from datetime import datetime

from common import jobs, times
from common.auth import Origin
from common.config import Settings
from common.connection import Cursor
from common.database import Database
from common.jobs import Summary
from common.problems import DatabaseUnavailable
from common.times import Clock
from common.tracing import request_id
from orders import order_store, order_workflows
from orders.invariants import INVARIANTS

log = logging.getLogger(__name__)

EXPIRED_AT_ONCE = 1000  # orders of one pass
SHOWN = 100  # ids of what breaks an invariant


def expire(settings: Settings, database: Database, clock: Clock = times.utc_now) -> Summary:
    """Cancel the orders that are overdue, each in a transaction of its own; one that fails is left for the next pass.

    `expired` counts, `failed` has the ids. An order that somebody has locked is passed over: whoever it is may
    confirm it.
    """
    now, origin = clock(), Origin("system", request_id())
    expired, failed = 0, []
    while expired + len(failed) < EXPIRED_AT_ONCE:
        tried: list[int] = []
        try:
            if not database.transact(_expire_one, clock, now, failed, tried, origin, settings):
                break
            expired += 1
        except DatabaseUnavailable:
            raise  # it says nothing about the order, which may be canceled by now
        except Exception:
            if not tried:
                raise
            log.exception("order %s can't be expired", tried[-1])
            failed.append(tried[-1])
    return {"ok": not failed, "expired": expired, "failed": failed}


def _expire_one(
    tx: Cursor,
    clock: Clock,
    now: datetime,
    passed_over: list[int],
    tried: list[int],
    origin: Origin,
    settings: Settings,
) -> bool:
    """Cancel the order that is overdue for longest; return whether there is one."""
    # Locks: order, products by id.
    order_id = order_store.lock_overdue(tx, now, passed_over)
    if order_id is None:
        return False
    tried.append(order_id)
    order_workflows.cancel_order(tx, clock, order_id, "expired", origin, settings, cause="expiry")
    return True


def verify(settings: Settings, database: Database) -> Summary:
    """Ask for what breaks the invariants; `violations` has the ids of each, SHOWN at most, and `adopted` is told.

    It reads one snapshot, locks nothing, and takes seconds for a million orders.
    """
    return database.inspect(_find_violations)


def _find_violations(tx: Cursor) -> Summary:
    tx.execute("SELECT adopted_at IS NOT NULL AS adopted FROM event_sequence")
    (state,) = tx.fetchall()
    if not state["adopted"]:
        return {"ok": False, "adopted": False, "violations": {}}
    violations = {}
    for name, (_, statement) in INVARIANTS.items():
        tx.execute(f"{statement} LIMIT {SHOWN}")
        if ids := [row["id"] for row in tx.fetchall()]:
            violations[name] = ids
    return {"ok": not violations, "adopted": True, "violations": violations}


JOBS: dict[str, jobs.Job] = {"expire": expire, "verify": verify}
handle = jobs.make_handler("orders", JOBS)

if __name__ == "__main__":
    sys.exit(jobs.main("orders", JOBS))
