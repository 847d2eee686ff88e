"""The demo: log in, order through the orchestrator, repeat the call, show that nothing doubled."""

import json
import sys
import uuid

import requests

from common import config
from dev.ready import direct_session, wait_for_programs

QTY = 1


class Demo:
    """One operator's session against the three programs."""

    def __init__(self, bases):
        self._bases = bases
        self._session = direct_session()

    def call(self, method, program, path, expected, **arguments):
        """Return the response; raise SystemExit unless its status is the expected one."""
        url = self._bases[program] + path
        try:
            response = self._session.request(method, url, timeout=30, **arguments)
        except requests.RequestException as ex:
            raise SystemExit(f"demo: {method} {url} failed: {type(ex).__name__}") from ex
        if response.status_code != expected:
            raise SystemExit(f"demo: {method} {url} answered {response.status_code}: {response.text}")
        return response

    def log_in(self, username, password):
        """Get a token and keep it."""
        body = {"username": username, "password": password}
        token = self.call("POST", "Customers", "/auth/token", 200, json=body).json()["token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def find(self, program, path, search):
        """Return the first row that a search finds."""
        rows = self.call("GET", program, path, 200, params={"search": search}).json()["data"]
        if not rows:
            raise SystemExit(f"demo: nothing found for {search!r} at {path}; run make seed")
        return rows[0]

    def run(self):
        """Print what happens, step by step."""
        self.log_in("demo", "demo-password")
        print("Logged in as demo.")
        customer = self.find("Customers", "/customers", "ops@acme.example")
        product = self.find("Orders", "/products", "SKU-001")
        if product["stock"] < QTY:
            delta = {"stock_delta": 10}
            product = self.call("PATCH", "Orders", f"/products/{product['id']}", 200, json=delta).json()
        print(f"{product['sku']} {product['name']}: {product['stock']} in stock.")

        order = {
            "customer_id": customer["id"],
            "items": [{"product_id": product["id"], "qty": QTY}],
            "idempotency_key": f"demo-{uuid.uuid4()}",
        }
        print("\nPOST /orchestrator/create-and-confirm-order")
        first = self.call("POST", "Orchestrator", "/orchestrator/create-and-confirm-order", 201, json=order)
        print(json.dumps(first.json(), indent=2, ensure_ascii=False))

        print("\nThe same call again, with the same key:")
        again = self.call("POST", "Orchestrator", "/orchestrator/create-and-confirm-order", 201, json=order)
        stock = self.call("GET", "Orders", f"/products/{product['id']}", 200).json()["stock"]
        if again.content != first.content or again.headers.get("Idempotent-Replayed") != "true":
            raise SystemExit("demo: the repeated call gave another answer")
        if stock != product["stock"] - QTY:
            raise SystemExit(f"demo: the stock is {stock}, not {product['stock'] - QTY}")
        print(
            f"  the same answer, byte for byte, marked Idempotent-Replayed: true; stock {product['stock']} -> {stock}."
        )


if __name__ == "__main__":
    Demo(wait_for_programs(config.load_settings(config.read_environment()))).run()
    sys.exit(0)
