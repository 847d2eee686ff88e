"""The campaign: `python -m tests.faults [--only=NAME,NAME] [--seconds=20] [--alone]` prints a table.

Its status is 1 if there is a violation. It is `make faults`. It runs in a mount namespace of its own where that is
allowed, for the fault that fills a disk.
"""

import argparse
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from tests.faults import campaign
from tests.faults.clients import Load
from tests.faults.faults import FAULTS
from tests.faults.world import Alone, World, unpack_function
from tests.system.conftest import children, free_ports
from tests.system.mysql_group import Group
from tests.system.mysql_server import OwnServer

PR_SET_CHILD_SUBREAPER = 36
WARM_UP = 5  # seconds
NAMESPACES = (["unshare", "-m"], ["unshare", "-rm"])  # the second one for who isn't root


def main():
    """Run the faults; return the status."""
    parser = argparse.ArgumentParser(prog="faults")
    parser.add_argument("--only", default="", help=f"some of {','.join(FAULTS)}")
    parser.add_argument("--seconds", type=int, default=20, help="how long each lasts")
    parser.add_argument("--alone", action="store_true", help="one database server instead of a group")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name] or list(FAULTS)
    if unknown := set(chosen) - FAULTS.keys():
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    enter_namespace()
    # Whose parent is killed becomes our child, so that `sweep` finds it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    rows = []
    try:
        with ExitStack() as running:
            folder = pathlib.Path(running.enter_context(tempfile.TemporaryDirectory(prefix="b2b-faults-")))
            os.environ["TMPDIR"] = str(folder)  # what is killed here leaves its files there
            world = start(running, folder, not options.alone)
            for name in chosen:
                rows += (tried := try_fault(world, name, options.seconds))
                if not all(row.is_well for row in tried):
                    break  # what comes now would say nothing
    finally:
        sweep()
        print(f"\n{campaign.HEAD}", *rows, sep="\n", flush=True)
    return any(row.violations for row in rows)


def start(running, folder, is_group):
    """Start everything, on a group of three servers or on one."""
    print("Starting …", flush=True)
    ports = free_ports(3)
    if is_group:
        group = running.enter_context(Group(folder / "mysql", ports[0]))
    else:
        group = Alone(running.enter_context(OwnServer(folder / "mysql", ports[0])))
    started = group.run("start")
    assert started.returncode == 0, started.stderr
    world = running.enter_context(World(group, unpack_function(folder), folder))
    with Load(world.account, world.clients):  # what is slow the first time is no fault's
        time.sleep(WARM_UP)
    return world


def try_fault(world, name, seconds):
    """Run a fault and print how it went; return its row, in a list that is empty if it needs more servers."""
    fault = FAULTS[name]
    if fault.needs_group and len(world.group.servers) == 1:
        return []
    print(f"{name} …", flush=True)
    began = time.monotonic()
    row = campaign.run(world, fault, seconds)
    print(f"{row}  {time.monotonic() - began:.0f} s", *row.violations, sep="\n  ", flush=True)
    if row.violations:
        print(f"  all logs: {keep_logs(world.folder)}", flush=True)
    return [row]


def keep_logs(folder):
    """Copy all logs below a folder that will go to one that stays, and return that."""
    kept = pathlib.Path(tempfile.mkdtemp(prefix="b2b-faults-logs-", dir=folder.parent))
    for path in folder.rglob("*.log"):
        shutil.copy(path, kept / "-".join(path.relative_to(folder).parts))
    return kept


def enter_namespace():
    """Start anew in a mount namespace, unless it is one or there are none."""
    if "FAULTS_NAMESPACE" in os.environ:
        return
    os.environ["FAULTS_NAMESPACE"] = "none"
    for unshare in NAMESPACES:
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            os.execvp(unshare[0], [*unshare, sys.executable, "-m", "tests.faults", *sys.argv[1:]])  # noqa: S606 - no shell


def end(number, frame):
    """Unwind; a second signal must not break that off."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def sweep():
    """Kill what is left of all that was started here."""
    while left := descendants(os.getpid()):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        while children(os.getpid()):
            os.waitpid(-1, 0)


def descendants(pid):
    """Return the pids of all processes below one."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


if __name__ == "__main__":
    sys.exit(main())
