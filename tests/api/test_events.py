"""What is written down of each change, and how it is read: by order, product and customer."""

import pytest

from common import times
from tests.contract_client import refusal
from tests.factories import order_request


def history(api, path, *fields):
    """Return these fields of every event."""
    return [tuple(event[field] for field in fields) for event in api.get(f"{path}/events").json["data"]]


STOCK = ("type", "stock_delta", "stock", "order_id", "cause")


def test_product_tells_of_each_movement_of_its_stock(orders_api, factory):
    product = orders_api.post("/products", json={"sku": "EV-1", "name": "Mouse", "price_cents": 100, "stock": 10}).json
    path = f"/products/{product['id']}"
    order = orders_api.post("/orders", json=order_request(factory.make_customer(), (product, 3))).json
    orders_api.patch(path, json={"stock_delta": 5})
    orders_api.post(f"/orders/{order['id']}/cancel")
    orders_api.patch(path, json={"stock": 7, "note": "counted"})

    assert history(orders_api, path, *STOCK) == [
        ("created", None, None, None, None),
        ("stock_changed", 10, 10, None, "opening"),
        ("stock_changed", -3, 7, order["id"], "order"),
        ("stock_changed", 5, 12, None, "correction"),
        ("stock_changed", 3, 15, order["id"], "cancel"),
        ("stock_changed", -8, 7, None, "correction"),
    ]
    assert history(orders_api, path, "reason")[-2:] == [(None,), ("counted",)]


@pytest.mark.parametrize(
    ("change", "events"),
    [
        ({"price_cents": 90, "name": "Mice"}, [("updated", None, ["name", "price_cents"], 90)]),
        ({"active": False}, [("updated", None, ["active"], 1000)]),
        (
            {"stock_delta": 1, "price_cents": 90},
            [("stock_changed", 1, None, None), ("updated", None, ["price_cents"], 90)],
        ),
        # Each version has an event, if nothing but the version is new, too.
        ({"price_cents": 1000}, [("updated", None, [], 1000)]),
        ({"stock": 100}, [("updated", None, [], 1000)]),
        ({"note": "all right"}, [("updated", None, [], 1000)]),
    ],
)
def test_change_of_a_product_tells_what_was_changed(orders_api, factory, change, events):
    path = f"/products/{factory.make_product()['id']}"

    assert orders_api.patch(path, json=change).status_code == 200

    assert history(orders_api, path, "type", "stock_delta", "changed", "price_cents")[2:] == events
    assert {reason for (reason,) in history(orders_api, path, "reason")[2:]} == {change.get("note")}


def test_product_without_stock_has_no_movement(orders_api, factory):
    assert history(orders_api, f"/products/{factory.make_product(stock=0)['id']}", "type") == [("created",)]


def test_customer_tells_of_its_life_also_when_it_is_deleted(customers_api, clock):
    customer = customers_api.post("/customers", json={"name": "ACME", "email": "events@acme.test"}).json
    path = f"/customers/{customer['id']}"
    clock.advance(minutes=1)
    headers = {"X-Request-ID": "who-renamed-it"}
    customers_api.put(
        path, json={"name": "ACME Ltd", "email": "events@acme.test", "phone": "+1-555-0100"}, headers=headers
    )
    customers_api.delete(path)

    assert customers_api.get(path).status_code == 404
    assert history(customers_api, path, "type", "actor", "changed") == [
        ("created", "demo", None),
        ("updated", "demo", ["name", "phone"]),
        ("deleted", "demo", None),
    ]
    updated = customers_api.get(f"{path}/events").json["data"][1]
    assert (updated["request_id"], updated["created_at"]) == ("who-renamed-it", times.to_json(clock()))


@pytest.mark.parametrize("kind", ["products", "customers"])
def test_row_from_before_there_were_events_has_none(orders_api, customers_api, factory, database, kind):
    api, row = (orders_api, factory.make_product()) if kind == "products" else (customers_api, factory.make_customer())
    delete = "DELETE FROM events WHERE subject_type = %s AND subject_id = %s"
    database.transact(lambda tx: tx.execute(delete, (kind.rstrip("s"), row["id"])))

    assert api.get(f"/{kind}/{row['id']}/events").json == {"data": [], "next_cursor": None}
    assert refusal(api.get(f"/{kind}/999999999/events")) == (404, f"{kind.rstrip('s')}_not_found")


def test_order_made_by_the_version_before_tells_what_both_versions_did(orders_api, factory, settings, database):
    order = factory.make_order(settings)

    def make_old(tx):
        tx.execute("DELETE FROM events WHERE subject_type = 'order' AND subject_id = %s", (order["id"],))
        tx.execute(
            """
            INSERT INTO order_events (id, order_id, type, actor, request_id, created_at)
            VALUES (%s, %s, 'created', 'ada', 'old', '2026-01-01')
            """,
            (10**9 + order["id"], order["id"]),
        )

    database.transact(make_old)
    headers = {"X-Idempotency-Key": "confirm"}
    orders_api.post(f"/orders/{order['id']}/confirm", headers=headers)

    path = f"/orders/{order['id']}"
    assert history(orders_api, path, "type", "actor") == [("created", "ada"), ("confirmed", "demo")]
    cursor = orders_api.get(f"{path}/events?limit=1").json["next_cursor"]
    (second,) = orders_api.get(f"{path}/events?cursor={cursor}").json["data"]
    assert second["type"] == "confirmed"
    database.transact(lambda tx: tx.execute("DELETE FROM order_events"))


def test_pages_of_a_products_events(orders_api, factory):
    path = f"/products/{factory.make_product()['id']}"
    for _ in range(3):
        orders_api.patch(path, json={"stock_delta": 1})

    seen, cursor = [], ""
    while cursor is not None:
        page = orders_api.get(f"{path}/events", params={"limit": 2, "cursor": cursor}).json
        seen += [event["stock"] for event in page["data"]]
        cursor = page["next_cursor"]

    assert seen == [None, 100, 101, 102, 103]


def test_refused_change_leaves_no_event(orders_api, customers_api, factory):
    product, customer = factory.make_product(stock=1), factory.make_customer()

    assert orders_api.post("/orders", json=order_request(customer, (product, 2))).status_code == 409
    assert orders_api.patch(f"/products/{product['id']}", json={"stock_delta": -2}).status_code == 409
    taken = factory.make_customer()["email"]
    assert customers_api.put(f"/customers/{customer['id']}", json={"email": taken}).status_code == 409

    assert len(history(orders_api, f"/products/{product['id']}", "type")) == 2
    assert len(history(customers_api, f"/customers/{customer['id']}", "type")) == 1
