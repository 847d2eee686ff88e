"""A client to copy: orders over this API from Python, an ERP say, makes no order twice and misses no change.

It needs `requests` alone. Every call is sent until its outcome is known. What must not happen twice carries a key that
is made before the first try and never replaced by another.
"""

import json
import os
import random
import sqlite3
import time
import uuid
from contextlib import closing

import requests

CUSTOMERS = os.environ.get("B2B_CUSTOMERS", "http://127.0.0.1:3001")
ORDERS = os.environ.get("B2B_ORDERS", "http://127.0.0.1:3002")
ORCHESTRATOR = os.environ.get("B2B_ORCHESTRATOR", "http://127.0.0.1:3003")
USERNAME = os.environ.get("B2B_USERNAME", "demo")
PASSWORD = os.environ.get("B2B_PASSWORD", "demo-password")

# Seconds to connect, and to wait for the next bytes of the answer. A call of the orchestrator may take 28.
TIMEOUT = (3.0, 35.0)
# Seconds after which a try begins nothing any more. Who repeats it sooner may be refused, and then it goes through.
SETTLED = 4
TRIES = 6  # with 15 to 31 seconds of waiting between them
LONGEST_WAIT = 60
NO_OUTCOME = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)

session = requests.Session()  # keeps connections; one for each thread
# Otherwise ~/.netrc replaces the token, and a proxy of the environment can read password and token.
session.trust_env = False


class Refused(Exception):
    """A definitive answer: nothing was changed. Decide on `code`; `problem` has the rest."""

    def __init__(self, problem):
        super().__init__(problem["code"], problem["detail"], problem["request_id"])
        self.code = problem["code"]
        self.problem = problem


def send(method, url, may_log_in=True, **request):
    """Send until the outcome is known; return the answer's JSON, or raise `Refused`.

    Raises TimeoutError where it stays unknown: send the same again later, with the same key.
    """
    wait = 0
    for attempt in range(TRIES):
        time.sleep(wait)
        wait = 2**attempt * random.uniform(0.5, 1)
        sent = time.monotonic()
        try:
            answer = session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **request)
        except NO_OUTCOME:
            wait = max(wait, sent + SETTLED - time.monotonic())
            continue  # it may have taken effect or not
        body = document(answer)
        # 429 and a key whose first request still runs (409) say when to come back, as 503 does.
        later = answer.headers.get("Retry-After", "")
        if later.isdecimal():
            wait = min(max(wait, int(later)), LONGEST_WAIT)
        if answer.status_code >= 500 or later or body is None:
            continue  # an answer without a document is not the API's, but a gateway's for example
        if answer.status_code < 300:
            return body
        if not may_log_in or body["code"] not in ("authentication_required", "invalid_token", "token_revoked"):
            raise Refused(body)
        log_in()
        may_log_in, wait = False, 0
    raise TimeoutError(f"{method} {url}: the outcome is unknown")


def document(answer):
    """Return the JSON object of an answer of the API, {} for a deletion, None if it is somebody else's answer."""
    if answer.status_code == 204:
        return {}
    try:
        body = answer.json()
    except ValueError:
        return None
    is_success = answer.status_code in (200, 201)
    return body if isinstance(body, dict) and (is_success or {"code", "detail", "request_id"} <= body.keys()) else None


def log_in():
    """Get a token. It lasts two hours; `send` calls this again when it has expired."""
    credentials = {"username": USERNAME, "password": PASSWORD}
    token = send("POST", f"{CUSTOMERS}/auth/token", may_log_in=False, json=credentials)["token"]
    session.headers["Authorization"] = f"Bearer {token}"


def every(url, **filters):
    """Yield every entry of a list, page by page."""
    cursor = ""
    while cursor is not None:
        page = send("GET", url, params={"limit": 100, **filters, "cursor": cursor})
        yield from page["data"]
        cursor = page["next_cursor"]


def order(reference, customer_id, items):
    """Make and confirm an order and return it: once, however often this is called or killed.

    After `Refused` nothing was ordered, and the reference may be used again, with less for example. Raises
    ValueError if the reference was sent with other items.

    The key is good for 24 hours. A repeat after that is refused with `duplicate_reference`, and `problem["order_id"]`
    is the order.
    """
    wanted = {"customer_id": customer_id, "items": items, "customer_reference": reference}
    row = (customer_id, reference)
    with closing(open_outbox()) as outbox:
        # Written down before it is sent. If an earlier call wrote the row, it stays and is sent again.
        new = (*row, str(uuid.uuid4()), json.dumps(wanted))
        outbox.execute("INSERT OR IGNORE INTO orders VALUES (?, ?, ?, ?, NULL)", new)
        found = outbox.execute(
            "SELECT idempotency_key, body, answer FROM orders WHERE customer_id = ? AND reference = ?", row
        )
        key, body, answer = found.fetchone()
        if json.loads(body) != wanted:
            raise ValueError(f"{reference} was sent with other items")
        if answer is None:
            sent = {**wanted, "idempotency_key": key}
            try:
                made = send("POST", f"{ORCHESTRATOR}/orchestrator/create-and-confirm-order", json=sent)
            except Refused:
                outbox.execute("DELETE FROM orders WHERE customer_id = ? AND reference = ?", row)
                raise
            answer = json.dumps(made["data"]["order"])
            outbox.execute("UPDATE orders SET answer = ? WHERE customer_id = ? AND reference = ?", (answer, *row))
    return json.loads(answer)


def follow(start, handle):
    """Call `handle(outbox, event)` with every event of the feed, in its order, and return at its end. Call again later.

    The first time of all, `start(outbox)` is called before: it reads and stores what there is. What the two write with
    `outbox` commits together with the place in the feed. So a kill loses nothing, and what else they do may be done
    again, for a page of events at most. One process at a time.
    """
    with closing(open_outbox()) as outbox:
        if outbox.execute("SELECT next FROM feed").fetchone() is None:
            page = {"has_more": True}
            while page["has_more"]:
                page = events_after("latest")
            outbox.execute("BEGIN")
            start(outbox)  # after the place was asked for: what changes meanwhile comes as an event, too
            outbox.execute("INSERT INTO feed VALUES (?)", (page["next"],))
            outbox.execute("COMMIT")
        (place,) = outbox.execute("SELECT next FROM feed").fetchone()
        page = {"next": place, "has_more": True}
        while page["has_more"]:
            page = events_after(page["next"])
            outbox.execute("BEGIN")
            for event in page["data"]:
                handle(outbox, event)
            outbox.execute("UPDATE feed SET next = ?", (page["next"],))
            outbox.execute("COMMIT")


def events_after(place):
    """Return a page of the feed."""
    return send("GET", f"{ORDERS}/events", params={"after": place})


def open_outbox():
    """Open the tables of orders to send and of the place in the feed. An ERP has them in its own database."""
    outbox = sqlite3.connect("outbox.db", isolation_level=None)  # each statement commits, but between BEGIN and COMMIT
    outbox.execute(
        "CREATE TABLE IF NOT EXISTS orders (customer_id INT, reference TEXT, idempotency_key TEXT NOT NULL,"
        " body TEXT NOT NULL, answer TEXT, PRIMARY KEY (customer_id, reference))"
    )
    outbox.execute("CREATE TABLE IF NOT EXISTS feed (next INT NOT NULL)")
    return outbox


def order_in_two_calls(key, body):
    """Order without the orchestrator. Both calls take the same key, which is written down before, as above."""
    headers = {"X-Idempotency-Key": key}
    made = send("POST", f"{ORDERS}/orders", json=body, headers=headers)
    return send("POST", f"{ORDERS}/orders/{made['id']}/confirm", headers=headers)


def find_order(reference, customer_id):
    """Return the customer's order with this reference that is not canceled, or None: whatever became of its key."""
    found = every(f"{ORDERS}/orders", customer_id=customer_id, customer_reference=reference)
    return next((order for order in found if order["status"] != "CANCELED"), None)


def find_product(sku):
    """Return the product with this SKU, whatever the case of its letters, or None."""
    return next(every(f"{ORDERS}/products", sku=sku), None)


def customer(name, email):
    """Return the customer with this email; add it if there is none. The email does what a key does elsewhere."""
    try:
        return send("POST", f"{CUSTOMERS}/customers", json={"name": name, "email": email})
    except Refused as refusal:
        if refusal.code != "email_taken":
            raise
        return send("GET", f"{CUSTOMERS}/customers/{refusal.problem['customer_id']}")
