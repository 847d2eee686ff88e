"""The clients of a campaign: they order as docs/calling.md says, and repeat each unknown outcome with its key."""

import json
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.faults.account import Answer, Request

CLIENTS = 16
PAUSE = 0.05  # seconds between two requests of a client: two processors for all of it
TIMEOUT = (3, 35)  # seconds, as in docs/client.py
RESOLVE_SECONDS = 60  # after a load, until each outcome has to be known
NO_OUTCOME = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
ORCHESTRATE = "/orchestrator/create-and-confirm-order"
CREDENTIALS = {"username": "demo", "password": "demo-password"}


class Caller:
    """Somebody with a token, whose every answer is written down."""

    _logging_in = threading.Lock()  # a worker refuses the third log-in at once

    def __init__(self, world, account):
        self.world, self.account = world, account
        self.local = threading.local()  # a session for each thread
        self.token = ""
        self.deadline = float("inf")

    def log_in(self):
        """Get a token, however often that takes."""
        with self._logging_in:
            while time.monotonic() < self.deadline:
                answer = self._call("customers", "POST", "/auth/token", {}, CREDENTIALS)
                if answer.status == 200:
                    self.token = json.loads(answer.content)["token"]
                    return
                time.sleep(PAUSE)

    def get(self, path):
        """Return the answer to a GET of Orders, repeated until there is one."""
        while True:
            answer = self._call("orders", "GET", path, {}, None)
            if answer.is_known or time.monotonic() > self.deadline:
                return answer
            self._wait(answer)

    def send_once(self, request):
        """Send a write, once."""
        body = request.body
        if request.kind == "orchestrate":
            body = {**body, "idempotency_key": request.key}
        return self._call(request.program, request.method, request.path, {"X-Idempotency-Key": request.key}, body)

    def send(self, request):
        """Send a write until its outcome is known; return the answer, or None where time was up."""
        was_unknown = False
        while True:
            answer = self.send_once(request)
            self.account.writes.append(answer)
            if answer.is_known:
                with self.account.lock:
                    self.account.resolved += was_unknown
                return answer
            was_unknown |= answer.may_have_happened
            if time.monotonic() > self.deadline:
                if was_unknown:
                    self.account.violations.append(f"{request}: no outcome in time; last {answer}")
                return None
            self._wait(answer)

    def _wait(self, answer):
        if answer.status == 401:
            self.log_in()
        # Less than Retry-After says: we want to see when it works again.
        time.sleep(random.uniform(0.1, 0.4))

    def _call(self, program, method, path, headers, body):
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
            self.local.session.trust_env = False
        headers = {**headers, "Authorization": f"Bearer {self.token}"}
        url, start = self.world.bases[program] + path, time.monotonic()
        answer = Answer(program, method, path, start, start)
        try:
            # No redirects: none is in the contract.
            response = self.local.session.request(
                method, url, headers=headers, json=body, timeout=TIMEOUT, allow_redirects=False
            )
        except NO_OUTCOME:
            answer = answer._replace(end=time.monotonic())
        else:
            sent = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(
                program, method, path, start, time.monotonic(), response.status_code, sent, response.content
            )
        self.account.answers.append(answer)
        return answer


class Client(Caller):
    """Orders, confirms, cancels, corrects stock and, some of them, orders through the orchestrator."""

    def __init__(self, world, account, number):
        super().__init__(world, account)
        self._random = random.Random(number)
        self._orchestrates = number % 4 == 0  # each such call is a process of the function
        self._customer = world.customer_ids[number % len(world.customer_ids)]
        self._open: list[int] = []  # orders that may be confirmed or canceled
        self._confirmed: list[int] = []
        self._doubles: ThreadPoolExecutor | None = None

    def run(self, stopped, is_doubling):
        """Work until `stopped`; `is_doubling()` says whether each request is sent a second time, sooner or later."""
        self._open, self._confirmed = [], []
        with ThreadPoolExecutor(2) as self._doubles:
            while not stopped.wait(PAUSE):
                request = self._choose()
                if is_doubling():
                    self._doubles.submit(self._send_again, request)
                self._settle(request, self.send(request))

    def _choose(self):
        chance, key = self._random.random(), uuid.uuid4().hex
        if chance < 0.25 and self._open:
            order = self._open.pop(self._random.randrange(len(self._open)))
            return Request("confirm", "orders", "POST", f"/orders/{order}/confirm", {}, key, order)
        if chance < 0.4 and (orders := self._open + self._confirmed):
            order = self._random.choice(orders)
            (self._open if order in self._open else self._confirmed).remove(order)
            return Request("cancel", "orders", "POST", f"/orders/{order}/cancel", {"reason": "test"}, key, order)
        products = list(self.account.initial)
        if chance < 0.5:
            product = self._random.choice(products)
            change = {"stock_delta": self._random.choice([-1, 2, 3]), "note": "counted"}
            return Request("correct", "orders", "PATCH", f"/products/{product}", change, key, product)
        lines = [{"product_id": product, "qty": self._random.randint(1, 3)} for product in products]
        body = {"customer_id": self._customer, "items": self._random.sample(lines, self._random.randint(1, 3))}
        if self._orchestrates:
            return Request("orchestrate", "orchestrator", "POST", ORCHESTRATE, body, key)
        return Request("create", "orders", "POST", "/orders", body, key)

    def _send_again(self, request):
        time.sleep(self._random.choice([0, 0, 0.02, 1]))
        self._settle(request, self.send(request))

    def _settle(self, request, answer):
        if answer is None or answer.status >= 300:
            return
        order = self.account.settle(request, answer.content)
        if request.kind == "create" and order is not None:
            self._open.append(order)
        elif request.kind in ("confirm", "orchestrate") and order is not None:
            self._confirmed.append(order)


class Reader(Caller):
    """Follows the feed; `seen` has (sequence, id of the row) of each event past `start`."""

    def __init__(self, world, account):
        super().__init__(world, account)
        self.log_in()
        self.seen: list[tuple[int, int]] = []
        page = {"has_more": True, "next": 0}
        while page["has_more"]:
            page = json.loads(self.get("/events?after=latest").content)
        self.start = self._next = page["next"]

    def run(self, stopped, is_doubling):
        """Read on until `stopped`."""
        while not stopped.wait(4 * PAUSE):
            self.read_page()

    def read_page(self):
        """Read on; return whether there is more."""
        answer = self.get(f"/events?after={self._next}&limit=100")
        if answer.status != 200:
            return False
        page = json.loads(answer.content)
        self.seen += [(event["sequence"], int(event["id"].removeprefix("evt_"))) for event in page["data"]]
        self._next = page["next"]
        return page["has_more"]

    def read_to_end(self):
        """Read all that there is."""
        while self.read_page():
            pass


class Load:
    """All clients at work, until the context is left; then each has an answer to each request, or a violation."""

    def __init__(self, account, callers, is_doubling=False):
        self.account = account
        self.is_doubling = is_doubling
        self.resolve_seconds = RESOLVE_SECONDS
        self._stopped = threading.Event()
        self._callers = callers
        self._threads = [threading.Thread(target=self._run, args=(caller,), daemon=True) for caller in callers]

    def __enter__(self):
        for caller in self._callers:
            caller.deadline = float("inf")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *exception):
        self._stopped.set()
        for caller in self._callers:
            caller.deadline = time.monotonic() + (self.resolve_seconds if kind is None else 0)
        if kind is None:
            ends = time.monotonic() + self.resolve_seconds + sum(TIMEOUT)
            for thread in self._threads:
                thread.join(max(0, ends - time.monotonic()))
                if thread.is_alive():
                    self.account.violations.append("a client hangs")

    def _run(self, caller):
        try:
            caller.run(self._stopped, lambda: self.is_doubling)
        except Exception as ex:  # noqa: BLE001 - whatever ends a client is something that it can't account for
            self.account.violations.append(f"a client ended: {ex!r}")
