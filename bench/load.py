"""What the product does in a second, beside what MySQL does alone: `make bench`.

A stack of its own, on ports and a server of its own. Every operation is measured at 1, 8 and 64
clients, MySQL alone and ours by turns; then all clients on one product; then memory. It prints
tables, and the targets with what was reached. bench/README.md says how to read them.
"""

import os
import signal
import statistics
import sys

from bench.clients import OPERATIONS, Clients
from bench.programs import ENVIRONMENT, Programs, Server
from common import config
from dev.stack import PROGRAMS, require_free_ports

CLIENTS = (1, 8, 64)


ROUNDS = int(os.environ.get("ROUNDS") or 3)
DURATION = int(os.environ.get("DURATION") or 2)  # seconds of each measurement
REQUESTS = int(os.environ.get("REQUESTS") or 100_000)  # before memory is looked at for the last time

# What the services are asked while their memory is watched.
MIXED = ("get_product", "get_order", "list_orders", "create_customer", "create_order_3")


def minutes(operations):
    """Return how long all of it takes: MySQL alone and ours by turns, and a second for what is around each."""
    seconds = len(operations or OPERATIONS) * len(CLIENTS) * ROUNDS * 2 * (DURATION + 1)
    if not operations:
        seconds += ROUNDS * 2 * 2 * (DURATION + 1) + REQUESTS / 400  # one product; memory
    return max(1, round(seconds / 60))


def measure_operations(clients, operations):
    """Return one row for each operation and number of clients: medians over the rounds."""
    results = {(operation, count): [] for operation in operations for count in CLIENTS}
    for operation in operations:
        clients.measure_ours(operation, 64, seconds=1)  # every thread opens its connections
    for round_ in range(ROUNDS):
        for (operation, count), pairs in results.items():
            show_progress(f"round {round_ + 1} of {ROUNDS}: {operation}, {count} clients")
            pairs.append((
                clients.measure_limit(operation, count, DURATION),
                clients.measure_ours(operation, count, DURATION),
            ))  # fmt: skip
    show_progress("")
    return [row_of(operation, count, pairs) for (operation, count), pairs in results.items()]


def row_of(operation, clients, pairs):
    """Return the medians of one operation's rounds, and the spread of its requests a second."""
    ours = [figures for _, figures in pairs]
    rates = [figures["per_second"] for figures in ours]
    medians = ("p50", "p95", "p99", "per_second", "cpu_ours", "cpu_mysqld", "statements")
    return {
        "operation": operation,
        "clients": clients,
        "limit": statistics.median(limit for limit, _ in pairs),
        **{name: statistics.median(figures[name] for figures in ours) for name in medians},
        "least": min(rates),
        "most": max(rates),
        # Of each round's own pair, so that what slows the machine down meanwhile slows both.
        "ratio": statistics.median(figures["per_second"] / limit for limit, figures in pairs),
        "errors": sum(figures["errors"] for figures in ours),
    }


def measure_hot_product(clients):
    """Return the row of 64 clients that all order product 1."""
    pairs = [
        (
            clients.measure_limit("create_order_1", 64, 2 * DURATION, products=1),
            clients.measure_ours("create_order_1", 64, 2 * DURATION, products=1),
        )
        for _ in range(ROUNDS)
    ]
    return row_of("create_order_1", 64, pairs)


def measure_memory(environ, settings, database_settings, server):
    """Return [(requests, {program: MB of its largest worker})] of workers that were just started."""
    with Programs(environ, settings) as programs:
        clients = Clients(settings, database_settings, server, programs)
        count, points = 0, []
        for wanted in (REQUESTS // 100, REQUESTS // 2, REQUESTS):
            while count < wanted:
                show_progress(f"memory: {count} requests")
                count += sum(clients.measure_ours(name, 8, 1)["requests"] for name in MIXED)
            points.append((count, programs.memory()))
    show_progress("")
    return points


# --- what is printed -------------------------------------------------------------------


def show_progress(text):
    """Replace the terminal's last line, if there is a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text}", end="\033[K", file=sys.stderr, flush=True)


# (heading, width, how a row shows it)
COLUMNS = (
    ("", -18, lambda row: row["operation"]),
    ("clients", 7, lambda row: row["clients"]),
    ("MySQL/s", 8, lambda row: f"{row['limit']:.0f}"),
    ("ours/s", 7, lambda row: f"{row['per_second']:.0f}"),
    ("least-most", 11, lambda row: f"{row['least']:.0f}-{row['most']:.0f}"),
    ("ratio", 6, lambda row: f"{row['ratio']:.2f}"),
    ("p50 ms", 7, lambda row: f"{row['p50']:.1f}"),
    ("p95", 6, lambda row: f"{row['p95']:.1f}"),
    ("p99", 6, lambda row: f"{row['p99']:.1f}"),
    ("errors", 6, lambda row: row["errors"]),
    ("CPU ms", 6, lambda row: f"{row['cpu_ours']:.2f}"),
    ("mysqld", 6, lambda row: f"{row['cpu_mysqld']:.2f}"),
    ("statements", 10, lambda row: f"{row['statements']:.1f}"),
)


def print_table(rows):
    """Print one line for each row."""
    print(*(f"{heading:{'<' if width < 0 else '>'}{abs(width)}}" for heading, width, _ in COLUMNS))
    for row in rows:
        print(*(f"{show(row):{'<' if width < 0 else '>'}{abs(width)}}" for _, width, show in COLUMNS))


def targets(rows, hot, memory):
    """Yield (what, the figure, whether it is reached) for each target of bench/README.md."""
    at = {(row["operation"], row["clients"]): row for row in rows}
    orders = [at[f"create_order_{lines}", 8]["per_second"] for lines in (1, 20)]
    tails = {name: row["p99"] / row["p50"] for (name, count), row in at.items() if count == 64}
    (_, middle), (_, last) = memory[1:]
    for name, bound in {
        "create_order_3": 0.35,
        "create_and_confirm": 0.25,
        "get_product": 0.15,
        "get_order": 0.12,
    }.items():
        yield at_least(f"{name}: share of what MySQL alone does", at[name, 8]["ratio"], bound)
    yield at_most("create order: 20 lines cost, in orders of one", orders[0] / orders[1], 2.5)
    yield at_most(f"64 clients: p99 in p50, {max(tails, key=tails.__getitem__)}", max(tails.values()), 5)
    yield at_most("errors", sum(row["errors"] for row in [*rows, hot]), 0)
    for name in ("customers", "orders"):
        yield at_most(f"{name}: MB a worker after {memory[2][0]} requests", last[name], 60)
        yield at_most(f"{name}: MB more than after {memory[1][0]}", last[name] - middle[name], 1)


def at_least(what, value, bound):
    """Return a target that is reached from `bound` on."""
    return what, f"{shown(value, bound)} (at least {bound:.2f})", value >= bound


def at_most(what, value, bound):
    """Return a target that is reached up to `bound`."""
    return what, f"{shown(value, bound)} (at most {bound:g})", value <= bound


def shown(value, bound):
    """Return the value in as many digits as it takes to see on which side of the bound it is."""
    digits = next(digits for digits in range(2, 18) if value == bound or f"{value:.{digits}f}" != f"{bound:.{digits}f}")
    return f"{value:.{digits}f}"


def main(operations):
    """Measure what is named, or everything with its targets; print it and write it as JSON."""
    if unknown := set(operations) - OPERATIONS.keys():
        raise SystemExit(
            f"bench: no operation is called {', '.join(sorted(unknown))}; there are {' '.join(OPERATIONS)}"
        )
    environ = config.read_environment() | ENVIRONMENT
    settings, database_settings = config.load_settings(environ), config.load_database_settings(environ)
    # Else programs that answer there already would be measured.
    require_free_ports(settings, PROGRAMS)
    with Server(environ, database_settings) as server:
        print(f"MySQL {server.version()}, {os.cpu_count()} processors, {ROUNDS} rounds of {DURATION} s")
        print(f"This takes about {minutes(operations)} min.", flush=True)
        with Programs(environ, settings) as programs:
            clients = Clients(settings, database_settings, server, programs)
            rows = measure_operations(clients, operations or OPERATIONS)
            print_table(rows)
            if operations:
                return
            hot = measure_hot_product(clients)
        print("\n64 clients that order one product:")
        print_table([hot])
        memory = measure_memory(environ, settings, database_settings, server)
    print("\nMB of the largest worker:")
    for count, megabytes in memory:
        print(f"{count:8} requests ", *(f"{name} {megabytes[name]:.1f} " for name in ("customers", "orders")))
    print("\nTargets, at 8 clients unless they name others:")
    for what, figure, is_reached in targets(rows, hot, memory):
        print(f"{'reached' if is_reached else 'MISSED':8} {what}: {figure}")


if __name__ == "__main__":
    # Also on TERM what was started is stopped.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
