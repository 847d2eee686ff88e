"""Lists: pages by key, in their order, and filters."""

from datetime import timedelta

import pytest

from common import times
from tests.factories import unique


def walk(api, path, **params):
    """Return the ids of all pages, each page a list."""
    pages, cursor = [], ""
    while cursor is not None:
        page = api.get(path, params={**params, "cursor": cursor}).json
        pages.append([row["id"] for row in page["data"]])
        cursor = page["next_cursor"]
    return pages


@pytest.fixture
def mark():
    """A text that only this test's rows have."""
    return unique("mark")


@pytest.fixture
def customer(factory):
    return factory.make_customer()


@pytest.fixture
def orders_of(factory, settings, customer, clock):
    """`orders_of(seconds, …, **fields)` makes orders of `customer`, each that long after now; returns their ids."""
    product, start = factory.make_product(stock=100), clock.now

    def make(*seconds, **fields):
        made = []
        for offset in seconds:
            clock.now = start + timedelta(seconds=offset)
            items = [{"product_id": product["id"], "qty": 1}]
            made.append(factory.make_order(settings, customer, items, **fields)["id"])
        return made

    return make


def test_customers_come_in_id_order_page_by_page(customers_api, factory, mark):
    ids = [factory.make_customer(name=f"{mark} {number}")["id"] for number in range(5)]

    assert walk(customers_api, "/customers", search=mark, limit=2) == [ids[:2], ids[2:4], ids[4:]]


def test_products_come_in_id_order_inactive_ones_too(orders_api, factory, mark):
    ids = [factory.make_product(name=f"{mark} {number}", active=number != 1)["id"] for number in range(4)]

    assert walk(orders_api, "/products", search=mark, limit=2) == [ids[:2], ids[2:]]


def test_orders_come_newest_first_and_of_the_same_instant_by_id(orders_api, customer, orders_of):
    oldest, newest, *same = orders_of(0, 9, 1, 1, 1)

    pages = walk(orders_api, "/orders", customer_id=customer["id"], limit=2)

    assert pages == [[newest, same[2]], [same[1], same[0]], [oldest]]


def test_events_come_oldest_first_page_by_page(orders_api, factory, settings):
    path = f"/orders/{factory.make_order(settings)['id']}"
    orders_api.post(f"{path}/confirm", headers={"X-Idempotency-Key": unique("key")})
    orders_api.post(f"{path}/cancel")
    ids = [event["id"] for event in orders_api.get(f"{path}/events").json["data"]]

    pages = walk(orders_api, f"{path}/events", limit=2)

    assert len(ids) == 3
    assert pages == [sorted(ids)[:2], sorted(ids)[2:]]


def test_row_added_behind_the_cursor_does_not_shift_the_next_page(orders_api, customer, orders_of):
    ids = orders_of(0, 1, 2, 3)
    first = orders_api.get("/orders", params={"customer_id": customer["id"], "limit": 2}).json
    orders_of(9)

    second = orders_api.get(
        "/orders", params={"customer_id": customer["id"], "limit": 2, "cursor": first["next_cursor"]}
    ).json

    assert [row["id"] for row in first["data"] + second["data"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_list_of_nothing_is_an_empty_page(orders_api):
    response = orders_api.get("/orders", params={"customer_id": 2**63 - 1})

    assert response.json == {"data": [], "next_cursor": None}


def test_listed_order_is_the_order_without_items_and_customer(orders_api, customer, orders_of):
    (order_id,) = orders_of(0)
    order = orders_api.get(f"/orders/{order_id}").json

    listed = orders_api.get("/orders", params={"customer_id": customer["id"]}).json["data"]

    assert listed == [{name: order[name] for name in order if name not in ("customer", "items")}]


@pytest.mark.parametrize(("params", "length"), [({}, 20), ({"limit": 1}, 1), ({"limit": 21}, 21), ({"limit": 100}, 25)])
def test_limit_defaults_to_20_and_goes_to_100(orders_api, customer, orders_of, params, length):
    orders_of(*range(25))

    response = orders_api.get("/orders", params={"customer_id": customer["id"], **params})

    assert len(response.json["data"]) == length


def test_empty_parameters_count_as_absent(orders_api, customer, orders_of):
    ids = orders_of(0, 1)

    response = orders_api.get("/orders", query_string=f"customer_reference=&cursor=&to=&customer_id={customer['id']}")

    assert [row["id"] for row in response.json["data"]] == ids[::-1]


def at(clock, seconds, offset_hours=0):
    """Return the RFC 3339 text of that many seconds after the clock, with the offset given."""
    local = clock.now + timedelta(seconds=seconds, hours=offset_hours)
    return local.isoformat(timespec="microseconds") + f"{offset_hours:+03d}:00"


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"from": 1}, [3, 2, 1]),
        ({"from": 1.000001}, [3, 2]),
        ({"to": 2}, [1, 0]),
        ({"to": 2.000001}, [2, 1, 0]),
        ({"from": 1, "to": 3}, [2, 1]),
        ({"from": 1, "to": 1}, []),
        ({"from": 3, "to": 1}, []),
    ],
)
@pytest.mark.parametrize("offset_hours", [0, 2, -11])
def test_from_is_inclusive_and_to_exclusive_in_any_zone(
    orders_api, customer, orders_of, clock, limits, found, offset_hours
):
    ids = orders_of(0, 1, 2, 3)
    clock.advance(seconds=-3)
    params = {name: at(clock, seconds, offset_hours) for name, seconds in limits.items()}

    response = orders_api.get("/orders", params={"customer_id": customer["id"], **params})

    assert [row["id"] for row in response.json["data"]] == [ids[index] for index in found]


@pytest.mark.parametrize(("status", "found"), [("CREATED", [3, 0]), ("CONFIRMED", [2]), ("CANCELED", [1])])
@pytest.mark.parametrize("limits", [{}, {"from": 0}, {"to": 9}, {"from": 0, "to": 9}], ids=str)
def test_filters_combine(orders_api, customer, orders_of, clock, status, found, limits):
    ids = orders_of(0, 1, 2, 3)
    orders_of(20)
    clock.advance(seconds=-20)
    orders_api.post(f"/orders/{ids[1]}/cancel")
    orders_api.post(f"/orders/{ids[2]}/confirm", headers={"X-Idempotency-Key": unique("key")})
    params = {"to": times.to_json(clock.now + timedelta(seconds=10))}
    params |= {name: at(clock, seconds) for name, seconds in limits.items()}

    pages = walk(orders_api, "/orders", customer_id=customer["id"], status=status, limit=1, **params)

    assert pages == [[ids[index]] for index in found]


# --- by what a caller has --------------------------------------------------------------


@pytest.fixture
def canceled(orders_api):
    """`canceled(order_id)` cancels an order and returns its id."""

    def cancel(order_id):
        assert orders_api.post(f"/orders/{order_id}/cancel").status_code == 200
        return order_id

    return cancel


def test_orders_of_a_reference_are_those_canceled_and_those_of_other_customers_too(
    orders_api, factory, settings, orders_of, canceled, mark
):
    first = canceled(*orders_of(0, customer_reference=mark))
    second = orders_of(1, customer_reference=mark)[0]
    others = factory.make_order(settings, customer_reference=mark)["id"]
    orders_of(2, customer_reference=mark.upper())

    assert walk(orders_api, "/orders", customer_reference=mark, limit=2) == [[others, second], [first]]


def test_reference_combines_with_every_other_filter(
    orders_api, factory, settings, customer, orders_of, canceled, mark, clock
):
    canceled(*orders_of(0, customer_reference=mark))
    canceled(*orders_of(2, customer_reference=mark))
    wanted = canceled(*orders_of(1, customer_reference=mark))
    orders_of(1, customer_reference=mark)
    canceled(*orders_of(1))
    canceled(factory.make_order(settings, customer_reference=mark)["id"])
    filters = {"customer_id": customer["id"], "status": "CANCELED", "from": at(clock, 0), "to": at(clock, 1)}

    assert walk(orders_api, "/orders", customer_reference=mark, limit=1, **filters) == [[wanted]]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"sku": "{}-A"}, [[0]]),
        ({"sku": "{}-A", "search": "{}-a", "active": "true"}, [[0]]),
        ({"sku": "{}-A", "search": "{}-a1"}, [[]]),
        ({"sku": "{}-A", "active": "false"}, [[]]),
        ({"sku": "{}"}, [[]]),
        ({"active": "true", "search": "{}"}, [[0], [2]]),
        ({"active": "false", "search": "{}"}, [[1]]),
    ],
    ids=str,
)
def test_products_are_found_by_sku_in_any_case_and_by_active_within_a_search(orders_api, factory, mark, filters, found):
    ids = [factory.make_product(sku=f"{mark}-{end}", active=end != "a1")["id"] for end in ("a", "a1", "a2")]

    pages = walk(orders_api, "/products", limit=1, **{name: text.format(mark) for name, text in filters.items()})

    assert pages == [[ids[index] for index in page] for page in found]


@pytest.mark.parametrize("active", [True, False])
def test_products_are_found_by_active_in_id_order(orders_api, factory, active):
    wanted, other, last = (factory.make_product(active=state)["id"] for state in (active, not active, active))

    ids = sum(walk(orders_api, "/products", active=str(active).lower(), limit=100), [])

    assert ids == sorted(ids)
    assert {wanted, other, last} & set(ids) == {wanted, last}


@pytest.mark.parametrize(("search", "found"), [("", [1]), ("example", [1]), ("nobody", [])])
def test_living_customer_is_found_by_email_in_any_case(customers_api, factory, mark, search, found):
    ids = [factory.make_customer(email=f"{mark}@example.test")["id"]]
    customers_api.delete(f"/customers/{ids[0]}")
    ids.append(factory.make_customer(email=f"{mark}@example.test")["id"])

    pages = walk(customers_api, "/customers", email=f"{mark}@EXAMPLE.test", search=search)

    assert pages == [[ids[index] for index in found]]
