"""The feed: everything once, in one order, to the end and on from there."""

import pytest

from orders import feed
from tests.contract_client import refusal
from tests.factories import end_of, order_request, unique


@pytest.fixture
def end(orders_api):
    """Where the feed ends before the test."""
    return end_of(orders_api)


def read(api, after, **query):
    """Return all events past `after`, page by page, and the last `next`."""
    events, page = [], {"next": after, "has_more": True}
    while page["has_more"]:
        page = api.get("/events", params={"after": page["next"], **query}).json
        events += page["data"]
    return events, page["next"]


def test_feed_tells_of_an_order_and_of_what_it_moved(orders_api, factory, end):
    customer, product, other = factory.make_customer(), factory.make_product(), factory.make_product(stock=5)
    request = order_request(customer, (product, 3), (other, 2), customer_reference=unique("PO"))
    order = orders_api.post("/orders", json=request, headers={"X-Request-ID": "made-by-hand"}).json
    orders_api.post(f"/orders/{order['id']}/cancel", json={"reason": "twice"})

    events, after = read(orders_api, end)

    assert [event["sequence"] for event in events] == list(range(end + 1, after + 1))
    made = [event for event in events if event["request_id"] == "made-by-hand"]
    assert [(event["type"], event["subject"]) for event in made] == [
        ("order.created", {"type": "order", "id": order["id"], "version": 1}),
        ("product.stock_changed", {"type": "product", "id": product["id"], "version": 2}),
        ("product.stock_changed", {"type": "product", "id": other["id"], "version": 2}),
    ]
    assert made[0]["data"] == {
        "status": "CREATED",
        "total_cents": order["total_cents"],
        "customer_id": customer["id"],
        "customer_reference": request["customer_reference"],
        "reason": None,
    }
    assert made[1]["data"] == {"delta": -3, "stock": 97, "order_id": order["id"], "cause": "order"}
    assert (made[0]["occurred_at"], made[0]["actor"]) == (order["created_at"], "demo")
    canceled = next(event for event in events if event["type"] == "order.canceled")
    assert (canceled["data"]["status"], canceled["data"]["reason"]) == ("CANCELED", "twice")


def test_feed_has_no_names_emails_phones_and_notes(orders_api, customers_api, factory, end):
    customer = factory.make_customer(name="Secret Name", phone="555-1234567")
    customers_api.put(f"/customers/{customer['id']}", json={"name": "Secret Other"})
    product = factory.make_product(name="Secret Thing")
    orders_api.patch(f"/products/{product['id']}", json={"name": "Secret Mouse", "note": "Secret Note", "stock": 1})
    orders_api.post("/orders", json=order_request(customer, (product, 1)))

    text = orders_api.get("/events", params={"after": end}).text

    assert not any(secret in text for secret in ("Secret", "555-1234567", customer["email"]))


def test_same_page_comes_again_whatever_came_later(orders_api, factory, end):
    factory.make_product()
    first = orders_api.get("/events", params={"after": end}).json
    factory.make_product()

    again = orders_api.get("/events", params={"after": end, "limit": 2}).json

    assert again["data"] == first["data"]
    assert (first["has_more"], again["has_more"]) == (False, True)
    assert orders_api.get("/events", params={"after": again["next"]}).json["data"][0]["sequence"] == first["next"] + 1


def test_without_after_it_begins_with_the_first(orders_api, factory):
    factory.make_customer()

    for query in ("", "?after=", "?after=0"):
        assert orders_api.get(f"/events{query}").json["data"][0]["sequence"] == 1


def test_latest_is_the_end(orders_api, factory, end):
    factory.make_product()

    latest = orders_api.get("/events?after=latest").json

    assert latest == {"data": [], "next": end + 2, "has_more": False}
    assert orders_api.get("/events", params={"after": latest["next"]}).json == latest


def test_types_and_subjects(orders_api, factory, end):
    product, other = factory.make_product(), factory.make_product()
    customer = factory.make_customer()
    orders_api.patch(f"/products/{product['id']}", json={"stock_delta": 1})

    def found(**query):
        events, after = read(orders_api, end, **query)
        assert after == end + 6  # also when nothing matched
        return [(event["type"], event["subject"]["id"]) for event in events]

    moved = [("product.stock_changed", product["id"]), ("product.stock_changed", other["id"])]
    assert found(types="product.stock_changed") == [*moved, moved[0]]
    assert found(types="product.created,customer.created", limit=1) == [
        ("product.created", product["id"]),
        ("product.created", other["id"]),
        ("customer.created", customer["id"]),
    ]
    assert found(subject=f"product/{product['id']}") == [("product.created", product["id"]), moved[0], moved[0]]
    assert found(subject=f"product/{product['id']}", types="product.created") == [("product.created", product["id"])]
    assert found(subject="order/999999999") == []
    assert found(types="customer.deleted") == []


def test_page_without_a_match_moves_on_after_so_many_rows(orders_api, factory, end, monkeypatch):
    monkeypatch.setattr(feed, "LOOKED_AT", 3)
    for _ in range(4):
        factory.make_customer()

    pages = [orders_api.get("/events", params={"after": end, "types": "order.canceled"}).json]
    pages.append(orders_api.get("/events", params={"after": pages[0]["next"], "types": "order.canceled"}).json)

    assert [(page["data"], page["next"], page["has_more"]) for page in pages] == [
        ([], end + 3, True),
        ([], end + 4, False),
    ]


def test_more_than_one_call_numbers_is_not_the_end(orders_api, factory, end, monkeypatch):
    monkeypatch.setattr(feed, "NUMBERED_AT_ONCE", 2)
    monkeypatch.setattr(feed.number, "__defaults__", (2,))
    for _ in range(3):
        factory.make_customer()

    first = orders_api.get("/events", params={"after": end}).json
    second = orders_api.get("/events", params={"after": first["next"]}).json

    assert [len(page["data"]) for page in (first, second)] == [2, 1]
    assert [page["has_more"] for page in (first, second)] == [True, False]


@pytest.mark.parametrize("after", ["-1", "01", "1.0", 2**63, 10**19, "newest"])
def test_after_that_is_no_place_is_400(orders_api, after):
    response = orders_api.get("/events", params={"after": after})

    assert refusal(response) == (400, "invalid_request")
    assert [error["pointer"] for error in response.json["errors"]] == ["query:after"]


def test_after_beyond_the_end_is_400_and_tells_where_it_is(orders_api, end):
    response = orders_api.get("/events", params={"after": end + 1})

    assert refusal(response) == (400, "invalid_request")
    (error,) = response.json["errors"]
    assert error == {
        "pointer": "query:after",
        "code": "maximum",
        "detail": f"must be at most {end}, the end of the feed, or latest",
    }


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("types=order.paid", "query:types"),
        ("types=order.created,", "query:types"),
        ("types=created", "query:types"),
        ("types=Order.created", "query:types"),
        ("subject=order", "query:subject"),
        ("subject=order/", "query:subject"),
        ("subject=order/0", "query:subject"),
        ("subject=17", "query:subject"),
        (f"subject=order/{2**63}", "query:subject"),
        ("subject=operator/1", "query:subject"),
        ("limit=0", "query:limit"),
        ("limit=501", "query:limit"),
        ("cursor=0", "query:cursor"),
        ("after=0&after=1", "query:after"),
    ],
)
def test_parameter_that_makes_no_sense_is_400(orders_api, query, pointer):
    response = orders_api.get(f"/events?{query}")

    assert refusal(response) == (400, "invalid_request")
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]


@pytest.mark.parametrize("parameter", ["types", "subject", "after"])
def test_refusal_tells_what_would_be_right(orders_api, parameter):
    (error,) = orders_api.get(f"/events?{parameter}=nonsense").json["errors"]

    assert error["detail"] != "does not have the required form"


def test_viewer_reads_it_and_others_do_not(orders_api, make_token, service_token, authenticator, clock, monkeypatch):
    assert orders_api.get("/events", token=make_token("viewer", "viewer")).status_code == 200
    assert refusal(orders_api.get("/events", token=None)) == (401, "authentication_required")
    assert refusal(orders_api.get("/events", token=service_token)) == (403, "caller_not_allowed")
    monkeypatch.setitem(authenticator.issue_token.__globals__["ROLES"], "viewer", ("orders:read",))
    token = authenticator.issue_token("viewer", "viewer", clock())
    assert refusal(orders_api.get("/events", token=token)) == (403, "insufficient_scope")


def test_feed_is_503_until_the_history_is_adopted(orders_api, database):
    def set_adopted(tx, moment):
        tx.execute("UPDATE event_sequence SET adopted_at = %s", (moment,))

    database.transact(set_adopted, None)
    response = orders_api.get("/events")
    database.transact(set_adopted, "2026-01-01")

    assert refusal(response) == (503, "events_not_adopted")
    assert response.headers["Retry-After"] == "60"
    assert orders_api.get("/events").status_code == 200
