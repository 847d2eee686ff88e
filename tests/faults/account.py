"""What the clients were told, and whether it is true: the ledger of a campaign."""

import json
import random
import re
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import requests

from tests.contract_client import contract_of, parse_body
from tests.system.services import verify

# What nginx says itself (docs/nginx.conf), which no document of a service has.
OF_NGINX = {(502, "upstream_broken"), (503, "service_unavailable"), (504, "upstream_timeout")}
SURELY_NOTHING = {"customers_unavailable", "busy", "service_unavailable", "database_read_only"}  # of 503
REPLAYED = 100  # requests of each fault, sent once more at its end
SHOWN = 10  # violations of one sort


@dataclass(frozen=True)
class Request:
    """A write: what is sent, each time with the same key."""

    kind: str  # create, confirm, cancel, correct, orchestrate
    program: str
    method: str
    path: str
    body: dict[str, Any]
    key: str
    target: int = 0  # the order or product


class Answer(NamedTuple):
    """One try: what came back, `status` None where nothing did."""

    program: str
    method: str
    path: str
    start: float
    end: float
    status: int | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 - of a NamedTuple, whose defaults nobody changes
    content: bytes = b""

    @property
    def code(self):
        """The problem's, None of a success and of what is no problem document."""
        is_problem = self.headers.get("content-type") == "application/problem+json"
        return json.loads(self.content)["code"] if is_problem else None

    @property
    def is_known(self):
        """Whether the outcome is: docs/calling.md says which answers are to be repeated."""
        if self.status is None or self.status >= 500 or self.status in (401, 429):
            return False
        return self.code != "idempotency_key_in_flight"

    @property
    def may_have_happened(self):
        """Whether this is no outcome, but may have been one at the other end."""
        return self.status is None or (self.status >= 500 and self.code not in SURELY_NOTHING)


@dataclass
class Order:
    """What the client knows of an order."""

    status: str
    items: dict[int, int]
    expires_at: str


@dataclass
class Account:
    """Filled by clients, each in its thread; `check` reads it when they rest."""

    initial: dict[int, int]  # product -> stock
    orders: dict[int, Order] = field(default_factory=dict)
    corrections: Counter = field(default_factory=Counter)
    settled: dict[tuple[str, str], tuple[Request, bytes]] = field(default_factory=dict)  # by kind and key
    lock: Any = field(default_factory=threading.Lock)
    # Of this fault.
    answers: list[Answer] = field(default_factory=list)
    writes: list[Answer] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    resolved: int = 0  # requests whose outcome was unknown first
    violations: list[str] = field(default_factory=list)
    began_at: str = ""

    def begin(self):
        """Forget what belongs to the fault before."""
        self.answers, self.writes, self.touched, self.resolved, self.violations = [], [], set(), 0, []
        self.began_at = datetime.now(UTC).isoformat()

    def settle(self, request, content):
        """Write down a success, or compare it with that of the same request; return the order's id, if it is one."""
        body = json.loads(content)
        with self.lock:
            _, first = self.settled.setdefault((request.kind, request.key), (request, content))
            if first is not content:
                if first != content:
                    self.violations.append(f"{request}: first answered {first}, then {content}")
                return None
            if request.kind == "correct":
                self.corrections[request.target] += request.body["stock_delta"]
                return None
            order = body["data"]["order"] if request.kind == "orchestrate" else body
            items = Counter()
            for line in request.body["items"] if request.kind in ("create", "orchestrate") else []:
                items[line["product_id"]] += line["qty"]
            if order["id"] in self.orders and items:
                self.violations.append(f"{request}: order {order['id']} was made for another key")
            self.orders[order["id"]] = Order(
                order["status"], dict(items) or self.orders[order["id"]].items, order["expires_at"] or ""
            )
            self.touched.add(order["id"])
            return order["id"]

    # --- the checks ----------------------------------------------------------------------

    def check(self, world, readers, allowed):
        """Add to `violations` all that isn't as the clients were told; `allowed` has codes of this fault's answers."""
        self._check_replays(world)
        self._check_database(world)
        for reader in readers:
            reader.read_to_end()
        self._check_feed(world, readers)
        self._check_answers(world, allowed)
        try:
            verify(world.environ)
        except (AssertionError, subprocess.TimeoutExpired) as ex:
            self.violations.append(f"verify: {ex}")
        for instance in world.instances:
            try:
                if requests.get(f"{instance.base}/health/live", timeout=5).status_code != 200:
                    raise requests.ConnectionError
            except requests.RequestException:
                self.violations.append(f"{instance.name} on {instance.port} doesn't answer")

    def _check_answers(self, world, allowed):
        wrong = Counter()
        for answer in self.answers:
            if answer.status is None or is_of_gateway(answer) or (answer.status, answer.code) in OF_NGINX:
                continue
            if answer.status in (401, 500) and answer.code not in allowed:
                name = re.sub("[0-9]+", "N", answer.path)
                wrong[f"{answer.method} {name}: {answer.status} {answer.code}"] += 1
            body = parse_body(answer.headers.get("content-type", ""), answer.content)
            path = answer.path.partition("?")[0]
            try:
                contract_of(answer.program).check(answer.method, path, answer.status, answer.headers, body)
            except Exception as ex:  # noqa: BLE001 - whatever an answer breaks
                wrong[f"{answer.method} {path}: {answer.status} {ex!r}"[:500]] += 1
        self._add(f"{count} times {text}" for text, count in wrong.items())
        if any(answer.status == 500 for answer in self.answers):
            self._add(world.tracebacks(self.began_at))

    def _check_replays(self, world):
        """Send some requests once more, and compare; look at each order that was touched."""
        mine = [pair for pair in self.settled.values() if pair[0].target in self.touched or pair[0].target == 0]
        replays = random.sample(mine, min(REPLAYED, len(mine)))
        with ThreadPoolExecutor(4) as pool:
            again = list(pool.map(lambda pair: world.client.send_once(pair[0]), replays))
            seen = list(pool.map(lambda order_id: world.client.get(f"/orders/{order_id}"), self.touched))
        self._add(
            f"{request}: replayed as {answer.status} {answer.content}"
            for (request, content), answer in zip(replays, again, strict=True)
            if answer.content != content or answer.headers.get("idempotent-replayed") != "true"
        )
        for order_id, answer in zip(self.touched, seen, strict=True):
            body = json.loads(answer.content)
            items = {line["product_id"]: line["qty"] for line in body.get("items", [])}
            if answer.status != 200 or not self._is_as_told(order_id, body["status"], items, world.has_expired):
                self.violations.append(f"order {order_id} was told to be {self.orders[order_id]}, and is {body}")

    def _is_as_told(self, order_id, status, items, has_expired):
        order = self.orders[order_id]
        if order.status == "CREATED" and status == "CANCELED" and has_expired(order.expires_at):
            order.status = status
        return (order.status, order.items) == (status, items)

    def _check_database(self, world):
        orders: dict[int, str] = {}
        lines: dict[int, dict[int, int]] = {}
        for order_id, status, product_id, qty in world.query(
            "SELECT o.id, o.status, i.product_id, i.qty FROM orders AS o LEFT JOIN order_items AS i"
            f" ON i.order_id = o.id WHERE o.customer_id IN ({','.join(map(str, world.customer_ids))})"
        ):
            orders[order_id] = status
            lines.setdefault(order_id, {})[product_id] = qty
        self._add(f"order {order_id} is there, and nobody was told" for order_id in orders.keys() - self.orders.keys())
        self._add(f"order {order_id} is gone" for order_id in self.orders.keys() - orders.keys())
        self._add(
            f"order {order_id} was told to be {self.orders[order_id]}, and is {orders[order_id]} {lines[order_id]}"
            for order_id in orders.keys() & self.orders.keys()
            if not self._is_as_told(order_id, orders[order_id], lines[order_id], world.has_expired)
        )
        expected = Counter(self.initial)
        expected.update(self.corrections)
        for order in self.orders.values():
            if order.status != "CANCELED":
                expected.subtract(order.items)
        stock = dict(world.query("SELECT id, stock FROM products"))
        self._add(
            f"product {product_id} has {stock.get(product_id)} in stock, and not {pieces}"
            for product_id, pieces in expected.items()
            if stock.get(product_id) != pieces
        )

    def _check_feed(self, world, readers):
        for reader in readers:
            written = world.query(f"SELECT sequence, id FROM events WHERE sequence > {reader.start} ORDER BY sequence")
            unnumbered = world.query("SELECT id FROM events WHERE sequence IS NULL")
            if reader.seen != written or unnumbered:
                missed = len(set(written) - set(reader.seen))
                self.violations.append(f"a reader has {len(reader.seen)} events of {len(written)}, {missed} missed")
            if [place for place, _ in written] != list(range(reader.start + 1, reader.start + 1 + len(written))):
                self.violations.append("the feed has a gap")
            reader.start, reader.seen = reader.start + len(written), []

    def _add(self, violations):
        self.violations.extend(list(violations)[:SHOWN])


def is_of_gateway(answer):
    """Tell whether API Gateway itself answered, for a function that was killed or took too long."""
    return answer.program == "orchestrator" and answer.status in (500, 503) and answer.code is None
