"""One fault under load: before, during and after it; then the account. A row of the table says what it was."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.clients import Load

BEFORE = 5  # seconds of load without a fault
AFTER = 5  # seconds of load once all is well again
RECOVERED = 20  # writes of success, one after the other, and it is
RECOVERY_SECONDS = 60
CHECK_SECONDS = 60
COLUMNS = (
    *("fault", "requests", "refused", "unknown, then resolved", "seconds without service"),
    *("p99 before, after (ms)", "violations"),
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


class NotPossibleHere(Exception):
    """A fault that needs what this machine hasn't."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong: `run(world, load, seconds)` makes it so, waits, and heals it."""

    name: str
    run: Callable[..., Any]
    needs_group: bool = False
    allowed: frozenset[str] = field(default_factory=frozenset)  # codes of 401 and 500 that belong to it


@dataclass
class Row:
    """A line of the table."""

    fault: str
    cells: list[str]
    violations: list[str]
    is_well: bool = True  # afterwards

    def __str__(self):
        return f"| {self.fault} | {' | '.join(self.cells)} | {len(self.violations)} |"


def run(world, fault, seconds, before=BEFORE, after=AFTER):
    """Run one fault and return its `Row`."""
    account = world.account
    account.begin()
    with Load(account, [*world.clients, *world.readers]) as load:
        time.sleep(before)
        began, impossible = time.monotonic(), ""
        try:
            fault.run(world, load, seconds)
        except NotPossibleHere as ex:
            impossible = f"not possible here: {ex}"
        except (AssertionError, ValueError, subprocess.TimeoutExpired) as ex:
            account.violations.append(f"not healed: {ex}")
        is_well = recover(account)
        healed = time.monotonic()
        if is_well:
            time.sleep(after)
        else:
            load.resolve_seconds = 0
    writes = sorted(account.writes, key=lambda answer: answer.end)
    if not is_well:
        account.violations.append(f"not well again within {RECOVERY_SECONDS} s")
    for caller in (*world.readers, world.client):
        caller.deadline = time.monotonic() + CHECK_SECONDS
    if is_well:
        world.client.log_in()
        account.check(world, world.readers, fault.allowed)
    refused = sum(
        answer.status is not None and answer.status >= 400 and not answer.may_have_happened for answer in writes
    )
    cells = [
        impossible or str(len(account.answers)),
        str(refused),
        str(account.resolved),
        f"{without_service(writes):.1f}",
        f"{p99(writes, 0, began)}, {p99(writes, healed, float('inf'))}",
    ]
    return Row(fault.name, cells, account.violations, is_well)


def recover(account):
    """Wait until writes succeed one after the other; return whether they do in time."""
    began = time.monotonic()
    while time.monotonic() < began + RECOVERY_SECONDS:
        last = [answer for answer in account.writes[-RECOVERED:] if answer.start > began]
        if len(last) == RECOVERED and all(answer.is_known for answer in last):
            return True
        time.sleep(0.1)
    return False


def without_service(writes):
    """Return the longest time from a first failure to the next success, in seconds.

    A request that hangs has failed when it was sent, but not before the last success.
    """
    longest, failed_at, last_success = 0.0, None, 0.0
    for answer in writes:
        if answer.is_known:
            if failed_at is not None:
                longest = max(longest, answer.end - failed_at)
            failed_at, last_success = None, answer.end
        elif failed_at is None:
            failed_at = max(answer.start, last_success)
    return longest


def p99(writes, since, until):
    """Return the 99th percentile of the answered writes of that time, in milliseconds."""
    took = sorted(
        answer.end - answer.start
        for answer in writes
        if answer.is_known and since <= answer.start and answer.end < until
    )
    return round(1000 * took[int(0.99 * len(took))]) if took else "none"
