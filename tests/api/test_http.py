"""What HTTP wants of every route: HEAD, addresses, Host; and that clients may write what they read."""

import io

import pytest

from tests.contract_client import refusal
from tests.factories import order_request, unique

JSON = {"Content-Type": "application/json"}


OPEN_TO_ALL = ["/health", "/health/live", "/openapi.json", "/docs", "/docs/docs.css"]


@pytest.fixture
def paths(factory, settings):
    """Every kind of address that has a GET."""
    order, product = factory.make_order(settings), factory.make_product()
    path = f"/orders/{order['id']}"
    return {
        "orders_api": ["/products", f"/products/{product['id']}", "/orders", path, f"{path}/events", *OPEN_TO_ALL],
        "customers_api": ["/customers", f"/customers/{order['customer_id']}", "/customers/9999999", *OPEN_TO_ALL],
    }


@pytest.mark.parametrize("name", ["orders_api", "customers_api"])
def test_head_is_get_without_the_body(request, paths, name):
    api = request.getfixturevalue(name)
    same = {"X-Request-ID": "same"}

    for path in paths[name]:
        get, head = (api.request(method, path, headers=same) for method in ("GET", "HEAD"))

        assert (head.status_code, dict(head.headers), head.content) == (get.status_code, dict(get.headers), b"")
        assert "HEAD" in api.request("OPTIONS", path).headers["Allow"]


def test_head_of_what_the_client_has_is_304(orders_api, factory):
    path = f"/products/{factory.make_product()['id']}"
    tag = orders_api.request("HEAD", path).headers["ETag"]

    assert orders_api.request("HEAD", path, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("path", "kept"),
    [("/products/{}", "private, no-cache"), ("/products", "no-store"), ("/no", "no-store"), ("/health", "no-store")],
)
def test_no_cache_keeps_data_but_that_of_who_asks_for_what_has_an_etag(orders_api, factory, path, kept):
    response = orders_api.get(path.format(factory.make_product()["id"]))

    assert (response.headers["Cache-Control"], response.headers["X-Content-Type-Options"]) == (kept, "nosniff")


def test_slash_at_the_end_is_as_none(orders_api, factory):
    product = factory.make_product()
    key = {"X-Idempotency-Key": unique("key")}
    body = order_request(factory.make_customer(), (product, 1))

    first = orders_api.post("/orders", json=body, headers=key)

    assert orders_api.get(f"/products/{product['id']}/").json["id"] == product["id"]
    assert orders_api.post("/orders/", json=body, headers=key).headers["Idempotent-Replayed"] == "true"
    assert orders_api.get(first.headers["Location"] + "/").json["id"] == first.json["id"]


@pytest.mark.parametrize("path", ["//orders", "/orders//", "//", "/products//1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_two_slashes_are_404(orders_api, factory, refused, method, path):
    body = order_request(factory.make_customer(), (factory.make_product(), 1))

    refused((404, "not_found"), orders_api.request, method, path, json=body)


@pytest.mark.parametrize("host", ["", "a b", "a.example,b.example", "user@a.example", "[::1", "a.example:80a"])
def test_host_that_is_none_is_400(orders_api, host):
    response = orders_api.get("/health", headers={"Host": host})

    assert refusal(response) == (400, "invalid_request")
    assert response.json["errors"][0]["pointer"] == "header:Host"


@pytest.mark.parametrize("host", ["a_b.example", "127.0.0.1:3002", "[::1]:3002"])
def test_host_is_a_name_or_an_address(orders_api, host):
    assert orders_api.get("/health", headers={"Host": host}).status_code == 200


# --- read, change, write ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method", "collection", "make", "change"),
    [
        ("customers_api", "PUT", "/customers", "make_customer", {"name": "New name"}),
        ("orders_api", "PATCH", "/products", "make_product", {"price_cents": 7}),
    ],
)
def test_what_was_read_may_be_changed_and_written(request, factory, name, method, collection, make, change):
    api = request.getfixturevalue(name)
    path = f"{collection}/{getattr(factory, make)()['id']}"
    read = api.get(path)

    written = api.request(method, path, json=read.json | change, headers={"If-Match": read.headers["ETag"]})

    assert written.json == read.json | change | {"updated_at": written.json["updated_at"]}


def test_stock_that_was_read_needs_if_match_and_undoes_no_order(orders_api, factory, refused, settings):
    product = factory.make_product(stock=10)
    path = f"/products/{product['id']}"
    read = orders_api.get(path)
    factory.make_order(settings, items=[{"product_id": product["id"], "qty": 1}])

    response = refused((400, "invalid_request"), orders_api.patch, path, json=read.json)

    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [("header:If-Match", "required")]
    refused(
        (412, "precondition_failed"), orders_api.patch, path, json=read.json, headers={"If-Match": read.headers["ETag"]}
    )
    without_stock = {name: value for name, value in read.json.items() if name != "stock"}
    assert orders_api.patch(path, json=without_stock).json["stock"] == 9


def test_only_what_get_gives_is_ignored(customers_api, factory, refused):
    path = f"/customers/{factory.make_customer()['id']}"

    refused((400, "invalid_request"), customers_api.put, path, json={"id": 1})
    refused((400, "invalid_request"), customers_api.put, path, json={"name": "A", "deleted_at": None})


def test_whole_numbers_are_integers_however_they_are_written(orders_api, factory):
    customer, product = factory.make_customer(), factory.make_product()
    key = {**JSON, "X-Idempotency-Key": unique("key")}
    body = '{{"customer_id": {}{}, "items": [{{"product_id": {}, "qty": {}}}]}}'

    first = orders_api.post("/orders", body=body.format(customer["id"], "", product["id"], 2).encode(), headers=key)
    second = orders_api.post("/orders", body=body.format(customer["id"], ".0", product["id"], "2e0"), headers=key)

    assert (first.status_code, second.headers.get("Idempotent-Replayed")) == (201, "true")


def test_from_and_to_take_dates(orders_api, factory, settings, clock):
    customer = factory.make_customer()
    order = factory.make_order(settings, customer=customer)
    day = clock.now.date().isoformat()

    def found(query):
        page = orders_api.get("/orders", query_string=f"customer_id={customer['id']}&{query}")
        return [entry["id"] for entry in page.json["data"]]

    assert found(f"from={day}&to={day}") == [order["id"]]
    assert found(f"from={day}T00:00:00.0000000%2B0000") == [order["id"]]
    assert found(f"to={day}T00:00:00") == []


def test_plus_that_became_a_space_is_explained(orders_api):
    response = orders_api.get("/orders", query_string="from=2026-01-01T00:00:00+02:00")

    assert "%2B" in response.json["errors"][0]["detail"]


class Stalled(io.BytesIO):
    """A body that stops coming."""

    reads = 0

    def read(self, size=-1, /):
        self.reads += 1
        raise BlockingIOError


def test_body_that_stops_coming_is_waited_for_once(customers_api):
    body = Stalled()
    headers = {"Content-Type": "application/json", "Content-Length": "10"}

    response = customers_api.post("/customers", headers=headers, extras={"wsgi.input": body})

    assert (refusal(response), body.reads) == ((408, "request_timeout"), 1)
