"""The demo: log in, order through the orchestrator, repeat the call, show that nothing doubled."""

import json
import uuid

from common import config
from dev.ready import wait_for_programs


def main():
    """Print what happens, step by step."""
    bases, session = wait_for_programs(config.load_settings(config.read_environment()))

    def call(method, program, path, expected, **arguments):
        response = session.request(method, bases[program] + path, timeout=30, **arguments)
        if response.status_code != expected:
            raise SystemExit(f"demo: {method} {response.url} answered {response.status_code}: {response.text}")
        return response

    login = {"username": "demo", "password": "demo-password"}
    token = call("POST", "Customers", "/auth/token", 200, json=login).json()["token"]
    session.headers["Authorization"] = f"Bearer {token}"
    print("Logged in as demo.")
    customer = call("GET", "Customers", "/customers?search=ops@acme.example", 200).json()["data"][0]
    product = call("GET", "Orders", "/products?search=SKU-001", 200).json()["data"][0]
    path = f"/products/{product['id']}"
    if product["stock"] < 1:
        product = call("PATCH", "Orders", path, 200, json={"stock_delta": 10}).json()
    print(f"{product['sku']} {product['name']}: {product['stock']} in stock.")

    order = {
        "customer_id": customer["id"],
        "items": [{"product_id": product["id"], "qty": 1}],
        "idempotency_key": f"demo-{uuid.uuid4()}",
    }
    print("\nPOST /orchestrator/create-and-confirm-order")
    first = call("POST", "Orchestrator", "/orchestrator/create-and-confirm-order", 201, json=order)
    print(json.dumps(first.json(), indent=2, ensure_ascii=False))

    print("\nThe same call again, with the same key:")
    again = call("POST", "Orchestrator", "/orchestrator/create-and-confirm-order", 201, json=order)
    stock = call("GET", "Orders", path, 200).json()["stock"]
    if again.content != first.content or stock != product["stock"] - 1:
        raise SystemExit(f"demo: the repeated call was no replay; the stock is {stock}")
    replayed = again.headers.get("Idempotent-Replayed")
    print(f"  the same answer, byte for byte, marked Idempotent-Replayed: {replayed}; stock {stock + 1} -> {stock}.")


if __name__ == "__main__":
    main()
