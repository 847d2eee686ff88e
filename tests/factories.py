"""Rows for tests: each `make_…(**overrides)` commits one and returns it as a dict."""

import base64
import hmac
import itertools
import json

from common import strict_json
from common.auth import Origin
from customers import operators, passwords
from customers import workflows as customer_workflows
from orders import order_workflows, product_store, product_workflows

# Every row of a run has names of its own, so that no test sees another's.
_numbers = itertools.count(1)
ORIGIN = Origin("demo", "factory")


def unique(prefix):
    """Return a text that no other test uses."""
    return f"{prefix}-{next(_numbers):06d}"


class Factory:
    """Makes rows through the workflows, so that they are what the product would make."""

    def __init__(self, database, clock):
        self._database = database
        self._clock = clock

    def make_customer(self, **overrides):
        name = unique("customer")
        customer = {"name": name, "email": f"{name}@example.test", "phone": None, **overrides}
        answer = self._database.transact(customer_workflows.create_customer, self._clock, customer, ORIGIN)
        return strict_json.loads(answer.body)

    def make_product(self, **overrides):
        sku = unique("SKU")
        product = {"sku": sku, "name": f"Product {sku}", "price_cents": 1000, "stock": 100, **overrides}
        active = product.pop("active", True)
        answer = self._database.transact(product_workflows.create_product, self._clock, product, ORIGIN)
        made = strict_json.loads(answer.body)
        if not active:
            change = {"active": False}
            self._database.transact(product_workflows.update_product, self._clock, made["id"], change, None, ORIGIN)
        return made

    def make_order(self, settings, customer=None, items=None, **overrides):
        """Return a CREATED order as the API shows it; one product, one piece unless told."""
        customer = customer or self.make_customer()
        items = items or [{"product_id": self.make_product()["id"], "qty": 1}]
        request = {"customer_id": customer["id"], "items": items, **overrides}
        snapshot = {name: customer[name] for name in ("id", "name", "email", "phone")}
        answer = self._database.transact(order_workflows.create_order, self._clock, snapshot, request, ORIGIN, settings)
        return strict_json.loads(answer.body)

    def make_operator(self, password, role="operator", active=True):
        """Return the username of an operator who logs in with `password`."""
        username = unique("operator")
        password_hash = passwords.hash_password(password)
        self._database.transact(operators.set_operator, self._clock, username, role, password_hash)
        self._database.transact(
            lambda tx: tx.execute("UPDATE operators SET active = %s WHERE username = %s", (active, username))
        )
        return username

    def stock_of(self, product_id):
        return self._database.read(product_store.select_product, product_id)["stock"]


def order_request(customer, *lines, **fields):
    """Return the body of `POST /orders`; each line is (product, qty)."""
    items = [{"product_id": product["id"], "qty": qty} for product, qty in lines]
    return {"customer_id": customer["id"], "items": items, **fields}


def end_of(api):
    """Return where the feed ends now."""
    page = {"has_more": True}
    while page["has_more"]:  # more have no number yet than one call gives
        page = api.get("/events?after=latest").json
    return page["next"]


def forge_token(token, secret, header=None, claims=None, digest="sha256"):
    """Return `token` with members replaced (None drops one) and signed again; no digest, no signature."""
    parts = [json.loads(_decode(part)) for part in token.split(".")[:2]]
    changed = [part | (changes or {}) for part, changes in zip(parts, (header, claims), strict=True)]
    kept = [{name: value for name, value in part.items() if value is not None} for part in changed]
    signed = b".".join(_encode(json.dumps(part).encode()) for part in kept)
    signature = _encode(hmac.digest(secret.encode(), signed, digest)) if digest else b""
    return b".".join((signed, signature)).decode()


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
