"""A client to copy: orders over this API from Python, an ERP say, and makes no order twice. Needs `requests` alone.

Every call is sent until its outcome is known. What must not happen twice carries a key that is made before the first
try and never replaced by another.
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

# Seconds to connect, and between two bytes of the answer; an orchestrator's call may take 28.
TIMEOUT = (3.0, 35.0)
TRIES = 6  # with 15 to 31 seconds of waiting between them
NO_OUTCOME = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

session = requests.Session()  # keeps connections; one for each thread


class Refused(Exception):
    """A definitive answer: nothing was changed. Decide on `code`; `problem` has the rest."""

    def __init__(self, problem):
        super().__init__(problem["code"], problem["detail"], problem["request_id"])
        self.code = problem["code"]
        self.problem = problem


def send(method, url, **request):
    """Send until the outcome is known; return the answer's JSON, or raise `Refused`.

    Raises TimeoutError where it stays unknown: send the same again later, with the same key.
    """
    logged_in = False
    wait = 0
    for attempt in range(TRIES):
        time.sleep(wait)
        wait = 2**attempt * random.uniform(0.5, 1)
        try:
            answer = session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **request)
        except NO_OUTCOME:
            continue  # it may have taken effect or not
        if answer.status_code < 300:
            return answer.json() if answer.content else None
        # 429 and a key whose first request still runs (409) say when to come back, as 503 does.
        if answer.status_code >= 500 or "Retry-After" in answer.headers:
            wait = max(wait, int(answer.headers.get("Retry-After", 0)))
            continue
        problem = answer.json()
        if logged_in or problem["code"] not in ("authentication_required", "invalid_token"):
            raise Refused(problem)
        log_in()
        logged_in, wait = True, 0
    raise TimeoutError(f"{method} {url}: the outcome is unknown")


def log_in():
    """Get a token; it lasts two hours, and `send` comes back here when it has ended."""
    token = send("POST", f"{CUSTOMERS}/auth/token", json={"username": USERNAME, "password": PASSWORD})["token"]

    def sign(request):
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    session.auth = sign  # a header of the session would give way to an entry in ~/.netrc


def every(url, **filters):
    """Yield every entry of a list, page by page."""
    cursor = ""
    while cursor is not None:
        page = send("GET", url, params={"limit": 100, **filters, "cursor": cursor})
        yield from page["data"]
        cursor = page["next_cursor"]


def order(reference, customer_id, items):
    """Make and confirm an order and return it: once, however often this is called or killed.

    The key is good for 24 hours. Then `customer_reference` makes a repeat a refusal, `duplicate_reference`.
    """
    body = {"customer_id": customer_id, "items": items, "customer_reference": reference}
    body["idempotency_key"] = str(uuid.uuid4())
    with closing(open_outbox()) as outbox:
        # Written down before it is sent. What an earlier call wrote stays, and is what goes out again.
        outbox.execute("INSERT OR IGNORE INTO orders VALUES (?, ?, NULL)", (reference, json.dumps(body)))
        body, answer = outbox.execute("SELECT body, answer FROM orders WHERE reference = ?", (reference,)).fetchone()
        if answer is None:
            made = send("POST", f"{ORCHESTRATOR}/orchestrator/create-and-confirm-order", json=json.loads(body))
            answer = json.dumps(made["data"]["order"])
            outbox.execute("UPDATE orders SET answer = ? WHERE reference = ?", (answer, reference))
    return json.loads(answer)


def open_outbox():
    """Open the table of orders to send, which an ERP has in its own database. Each statement commits."""
    outbox = sqlite3.connect("outbox.db", isolation_level=None)
    outbox.execute("CREATE TABLE IF NOT EXISTS orders (reference TEXT PRIMARY KEY, body TEXT NOT NULL, answer TEXT)")
    return outbox


def order_in_two_calls(key, body):
    """Order without the orchestrator: one key, written down as above, serves both calls."""
    headers = {"X-Idempotency-Key": key}
    made = send("POST", f"{ORDERS}/orders", json=body, headers=headers)
    return send("POST", f"{ORDERS}/orders/{made['id']}/confirm", headers=headers)


def order_what_there_is(reference, customer_id, items):
    """Order less of what is short; return None if nothing is left. `items` names each product once."""
    try:
        return order(reference, customer_id, items)
    except Refused as refusal:
        if refusal.code != "insufficient_stock":
            raise
        stock = {line["product_id"]: line["available"] for line in refusal.problem["items"]}
    items = [{**line, "qty": min(line["qty"], stock.get(line["product_id"], line["qty"]))} for line in items]
    items = [line for line in items if line["qty"] > 0]
    # Another order, so another reference and another key.
    return order(f"{reference}-rest", customer_id, items) if items else None


def customer(name, email):
    """Return the customer with this email, added if there is none. The email serves as the key."""
    try:
        return send("POST", f"{CUSTOMERS}/customers", json={"name": name, "email": email})
    except Refused as refusal:
        if refusal.code != "email_taken":
            raise
    found = every(f"{CUSTOMERS}/customers", search=email)
    return next(customer for customer in found if customer["email"].lower() == email.lower())
