"""Products and stock: adding, reading, changing, and never below zero."""

import pytest
from mysql.connector import errors

from orders import product_store
from tests.factories import unique

MAX_STOCK = 1_000_000_000


def new_product(**overrides):
    return {"sku": unique("SKU"), "name": "Laptop Pro", "price_cents": 129900, "stock": 10, **overrides}


def test_added_product_is_answered_and_found_at_its_location(orders_api):
    request = new_product()

    response = orders_api.post("/products", json=request)

    assert response.status_code == 201
    assert {name: response.json[name] for name in request} == request
    assert response.json["active"] is True
    assert response.headers["Location"] == f"/products/{response.json['id']}"
    assert orders_api.get(response.headers["Location"]).content == response.content


@pytest.mark.parametrize("fields", [{"price_cents": 0, "stock": 0}, {"price_cents": 100_000_000, "stock": MAX_STOCK}])
def test_bounds_of_price_and_stock_are_accepted(orders_api, fields):
    response = orders_api.post("/products", json=new_product(**fields))

    assert response.status_code == 201
    assert {name: response.json[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("price_cents", -1, "minimum"),
        ("price_cents", 100_000_001, "maximum"),
        ("price_cents", True, "type"),
        ("price_cents", "1", "type"),
        ("stock", -1, "minimum"),
        ("stock", MAX_STOCK + 1, "maximum"),
        ("sku", "", "min_length"),
        ("sku", "x" * 65, "max_length"),
        ("sku", "É", "pattern"),
        ("price_cents", 1.5, "type"),
        *(("name", f"A{character}B", "pattern") for character in "\0\t\x1b\x7f"),
        ("name", "x" * 201, "max_length"),
        ("name", None, "type"),
    ],
)
def test_field_out_of_bounds_is_400_with_its_pointer(orders_api, refused, field, value, code):
    response = refused((400, "invalid_request"), orders_api.post, "/products", json=new_product(**{field: value}))

    assert (f"#/{field}", code) in {(error["pointer"], error["code"]) for error in response.json["errors"]}


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_taken_sku_is_409_whatever_its_case(orders_api, factory, refused, change):
    product = factory.make_product()

    taken = new_product(sku=change(product["sku"]))
    response = refused((409, "sku_taken"), orders_api.post, "/products", json=taken)

    assert response.json["product_id"] == product["id"]


def test_sku_is_corrected_to_no_other_product_s(orders_api, factory, refused):
    product, other = factory.make_product(), factory.make_product()

    path, changes = f"/products/{product['id']}", {"sku": other["sku"].upper()}
    response = refused((409, "sku_taken"), orders_api.patch, path, json=changes)

    assert response.json["product_id"] == other["id"]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_product_that_never_was_is_404(orders_api, refused, method):
    refused((404, "product_not_found"), orders_api.request, method, "/products/9223372036854775807", json={"stock": 1})


@pytest.mark.parametrize(
    ("changes", "effect"),
    [
        ({"name": "Laptop Pro 2"}, {"name": "Laptop Pro 2"}),
        ({"price_cents": 0}, {"price_cents": 0}),
        ({"sku": "corrected"}, {"sku": "corrected"}),
        ({"stock": 7}, {"stock": 7}),
        ({"stock_delta": 20}, {"stock": 30}),
        ({"stock_delta": -10}, {"stock": 0}),
        ({"active": False}, {"active": False}),
        ({"stock_delta": -1, "name": "B", "active": False}, {"stock": 9, "name": "B", "active": False}),
    ],
)
def test_patch_changes_the_fields_given_and_keeps_the_others(orders_api, factory, clock, changes, effect):
    product = factory.make_product(stock=10)
    clock.advance(seconds=5)

    response = orders_api.patch(f"/products/{product['id']}", json=changes)

    expected = {**product, **effect, "updated_at": clock.now.isoformat(timespec="microseconds") + "Z"}
    assert response.status_code == 200
    assert response.json == expected
    assert orders_api.get(f"/products/{product['id']}").json == expected


def test_patch_that_changes_nothing_still_makes_a_new_version(orders_api, factory):
    path = f"/products/{factory.make_product(stock=10)['id']}"
    old = orders_api.get(path).headers["ETag"]

    first = orders_api.patch(path, json={"stock": 10}).headers["ETag"]
    second = orders_api.patch(path, json={"stock": 10}).headers["ETag"]

    assert len({old, first, second}) == 3
    assert orders_api.get(path).headers["ETag"] == second


def test_delta_below_zero_is_409_naming_what_there_is_and_changes_nothing(orders_api, factory, refused):
    product = factory.make_product(stock=10)
    path, changes = f"/products/{product['id']}", {"stock_delta": -11, "name": "New"}

    response = refused((409, "insufficient_stock"), orders_api.patch, path, json=changes)

    assert response.json["items"] == [
        {"product_id": product["id"], "sku": product["sku"], "requested": 11, "available": 10}
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stock": 1, "stock_delta": 1},
        {"sku": "É"},
        {"stock_delta": MAX_STOCK + 1},
        {"stock_delta": -MAX_STOCK - 1},
        {"active": None},
        {"name": None},
    ],
)
def test_patch_against_the_contract_is_400_and_changes_nothing(orders_api, factory, refused, changes):
    product = factory.make_product()

    refused((400, "invalid_request"), orders_api.patch, f"/products/{product['id']}", json=changes)


def test_stock_may_grow_past_what_one_request_may_set(orders_api, factory):
    product = factory.make_product(stock=MAX_STOCK)

    response = orders_api.patch(f"/products/{product['id']}", json={"stock_delta": MAX_STOCK})

    assert response.status_code == 200
    assert factory.stock_of(product["id"]) == 2 * MAX_STOCK


def test_stock_below_zero_is_refused_by_the_database_too(database, factory, clock):
    product = factory.make_product(stock=1)

    with pytest.raises(errors.DatabaseError, match="ck_products_stock_not_negative"):
        database.transact(product_store.update_stock, {product["id"]: -2}, clock())

    assert factory.stock_of(product["id"]) == 1
