"""The faults: each function makes one, for some seconds, and heals it."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager

from tests.conftest import run_module
from tests.faults import wire
from tests.faults.campaign import Fault, NotPossibleHere
from tests.system.conftest import children
from tests.system.mysql_server import stopped

FIVE_MINUTES = 300  # seconds
EXPELLED = 20  # seconds: a silent member is out of the group by then
FORCED = 20  # seconds: who has lost the majority has left the group by then
DISK = "1200m"  # for a server's data; what is left of it is filled


def do_nothing(world, load, seconds):
    """Let the clients work: what the other rows compare with."""
    time.sleep(seconds)


# --- programs --------------------------------------------------------------------------


def kill_workers(world, load, seconds):
    """Kill a worker every second; gunicorn starts another."""
    for _ in range(max(1, seconds // 2)):
        worker = random.choice(children(random.choice(world.instances).process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        time.sleep(2)


def kill_instances(world, load, seconds):
    """Kill an instance of each service, one after the other, and start it again."""
    for instance in (world.instances[0], world.instances[-1]):
        instance.kill()
        time.sleep(seconds / 2)
        instance.start()


def restart_services(world, load, seconds):
    """Restart all instances, as docs/scaling.md says."""
    world.cluster.roll_out({}, lambda: time.sleep(seconds / 5))


def kill_function(world, load, seconds):
    """Kill the function's processes in the middle of what they do."""
    for _ in range(seconds):
        time.sleep(random.uniform(0.5, 1.5))
        world.function.kill()


def send_twice(world, load, seconds):
    """Send each request twice, at once or up to a second later."""
    load.is_doubling = True
    time.sleep(seconds)
    load.is_doubling = False


def set_clock(world, load, seconds):
    """Start an instance with a clock that is ahead, then another with one that is behind."""
    library, source = world.cluster.folder / "clock.so", pathlib.Path(__file__).with_name("clock.c")
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=False).returncode != 0:
        raise NotPossibleHere("no C compiler")
    for instance, offset in ((world.instances[0], FIVE_MINUTES), (world.instances[-1], -FIVE_MINUTES)):
        with started_with(instance, {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}):
            for client in world.clients[:4]:
                client.log_in()
            time.sleep(seconds / 2)
    assert any(answer.status == 401 for answer in world.account.answers), "no clock was off"


@contextmanager
def started_with(instance, settings):
    """Have an instance run with other settings; it runs with its own afterwards."""
    own = instance.environ
    try:
        instance.stop()
        instance.environ = own | settings
        instance.start()
        yield
    finally:
        instance.environ = own
        instance.end()
        instance.start()


# --- the database ----------------------------------------------------------------------


def start_servers(world):
    """Start what doesn't run of the servers."""
    started = world.group.run("start")
    assert started.returncode == 0, started.stderr


def kill_primary(world, load, seconds):
    """kill -9 the server that takes writes; start it again."""
    world.primary.kill()
    time.sleep(seconds)
    start_servers(world)


def stop_primary(world, load, seconds):
    """SIGSTOP the server that takes writes until it is expelled; SIGCONT."""
    with stopped([world.primary]):
        time.sleep(max(seconds, EXPELLED))
    start_servers(world)


def switch(world, load, seconds):
    """Have another server take the writes, then the first again."""
    first = world.group.primary()
    for number in (first % 3 + 1, first):
        switch_to(world, number)
        time.sleep(seconds / 2)


def switch_to(world, number):
    """Have a server take the writes."""
    switched = world.group.run("switch", str(number))
    assert switched.returncode == 0, switched.stderr


def others(world):
    """Return the servers that take no writes."""
    primary = world.primary
    return [server for server in world.group.servers if server is not primary]


def lose_secondary(world, load, seconds):
    """kill -9 a server that takes no writes; start it again."""
    others(world)[0].kill()
    time.sleep(seconds)
    start_servers(world)


def kill_all_servers(world, load, seconds):
    """kill -9 all servers, the first of a group before the others: it is behind, and no group may be made of it."""
    if len(world.group.servers) > 1:
        switch_to(world, 2)
        world.group.servers[0].kill()
        time.sleep(seconds / 2)
    for server in world.group.servers:
        server.kill()
    time.sleep(2)
    start_servers(world)


def stop_majority(world, load, seconds):
    """SIGSTOP two of three servers; SIGCONT."""
    with stopped(others(world)):
        time.sleep(seconds)
    start_servers(world)


def kill_majority(world, load, seconds):
    """kill -9 two of three servers; force the third to go on alone; start the two."""
    number = world.group.primary()
    for server in others(world):
        server.kill()
    time.sleep(max(seconds, FORCED))
    forced = world.group.run("force", str(number))
    assert forced.returncode == 0, forced.stderr
    time.sleep(2)
    start_servers(world)


def fill_disk(world, load, seconds):
    """Fill the disk of the server that takes writes, a small one in memory; free it."""
    number = world.group.primary()
    server = world.group.servers[number - 1]
    with ExitStack() as healing:
        filler = on_small_disk(world, number, healing)
        healing.callback(filler.unlink, missing_ok=True)
        if len(world.group.servers) > 1:  # another has taken its place meanwhile
            switch_to(world, number)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        time.sleep(seconds)
        filler.unlink()
        if not server.pids():
            start_servers(world)
        time.sleep(2)


def on_small_disk(world, number, healing):
    """Move a server's data to a disk of DISK; they are moved back when `healing` ends. Return a path on the disk."""
    server = world.group.servers[number - 1]
    data, kept = server.home / "data", server.home / "data.kept"

    def move(source, target):
        server.run("stop")
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("filler", "*.sock*"))

    def move_back():
        move(data, kept)
        subprocess.run(["umount", data], check=True)
        data.rmdir()
        kept.rename(data)
        start_servers(world)

    server.run("stop")
    data.rename(kept)
    data.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", data], check=False).returncode != 0:
        data.rmdir()
        kept.rename(data)
        start_servers(world)
        raise NotPossibleHere("no mount namespace (unshare -m)")
    healing.callback(move_back)
    move(kept, data)
    shutil.rmtree(kept)
    start_servers(world)
    return data / "filler"


# --- between the programs --------------------------------------------------------------


def cut_commits(world, load, seconds):
    """Cut one connection in five at its COMMIT, before or after it was sent on."""
    with healed(world.wires):
        for each in world.wires:
            each.cut_commits(0.2)
        time.sleep(seconds)


def delay(world, load, seconds):
    """Delay all that goes to and from the database, by 200 ms for both ways, more or less."""
    with healed(world.wires):
        for each in world.wires:
            each.delay = (0.05, 0.15)
        time.sleep(seconds)


def instead_of_customers(answer):
    """Return a fault in which Orders gets `answer` in place of what Customers says."""

    def run(world, load, seconds):
        with healed([world.customers_wire]):
            world.customers_wire.instead = answer
            time.sleep(seconds)

    return run


@contextmanager
def healed(wires):
    """Heal the wires in the end."""
    try:
        yield
    finally:
        for each in wires:
            each.heal()


# --- operators -------------------------------------------------------------------------


def run_jobs(world, load, seconds):
    """Back up, migrate, expire and purge, again and again, while orders last some seconds."""
    world.cluster.roll_out({"ORDER_TTL_SECONDS": "5"}, lambda: None)
    ends = time.monotonic() + seconds
    number = 0
    while time.monotonic() < ends:
        number += 1
        backup = world.cluster.folder / f"{number}.sql.gz"
        for command in (
            ("orders.jobs", "expire"),
            ("customers.jobs", "purge"),
            ("sql.migrate",),
            ("sql.backup", "backup", str(backup)),
        ):
            done = run_module(*command, environ=world.environ)
            assert done.returncode == 0, f"{command}: {done.stderr}"
        backup.unlink()
    world.cluster.roll_out({"ORDER_TTL_SECONDS": ""}, lambda: None)
    time.sleep(5)
    done = run_module("orders.jobs", "expire", environ=world.environ)
    assert done.returncode == 0, done.stderr


# In their order. A name is what FAULTS chooses.
FAULTS = {
    "nothing": Fault("nothing", do_nothing),
    "workers": Fault("workers killed", kill_workers),
    "instances": Fault("an instance of each service killed and restarted", kill_instances),
    "restarts": Fault("all instances restarted, one after the other", restart_services),
    "function": Fault("function killed between its steps", kill_function),
    "twice": Fault("every request sent twice, and out of order", send_twice),
    "commit": Fault("connections cut at COMMIT", cut_commits),
    "delay": Fault("200 ms between services and database", delay),
    "customers-away": Fault("Customers away", instead_of_customers(b"")),
    "customers-hang": Fault("Customers hangs", instead_of_customers(wire.HANG)),
    "customers-html": Fault("Customers answers HTML", instead_of_customers(wire.HTML)),
    "clock": Fault("an instance's clock 5 minutes off", set_clock, allowed=frozenset({"invalid_token"})),
    "jobs": Fault("backup, migration, expire, purge", run_jobs),
    "switch": Fault("planned switch, and back", switch, needs_group=True),
    "secondary": Fault("a secondary killed, and back", lose_secondary, needs_group=True),
    "primary-killed": Fault("primary killed", kill_primary),
    "primary-stopped": Fault("primary stopped for 20 s", stop_primary),
    "servers": Fault("all servers killed and started", kill_all_servers),
    "majority-stopped": Fault("majority stopped", stop_majority, needs_group=True),
    "majority-killed": Fault("majority killed, the third forced", kill_majority, needs_group=True),
    "disk": Fault("disk full on the primary", fill_disk),
}
