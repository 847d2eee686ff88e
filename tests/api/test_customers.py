"""Customers: adding, reading, changing, deleting, and what our other programs see of them."""

import pytest

from tests.contract_client import refusal
from tests.factories import unique


def new_customer(**overrides):
    name = unique("customer")
    return {"name": name, "email": f"{name}@example.test", "phone": "+1-555-0100", **overrides}


@pytest.mark.parametrize("phone", ["+1-555-0100", None])
def test_added_customer_is_answered_and_found_at_its_location(customers_api, phone):
    request = new_customer(phone=phone)

    response = customers_api.post("/customers", json=request)

    assert response.status_code == 201
    assert {name: response.json[name] for name in request} == request
    assert response.headers["Location"] == f"/customers/{response.json['id']}"
    assert customers_api.get(response.headers["Location"]).content == response.content


def test_times_are_those_of_the_clock_in_utc_with_six_digits(customers_api, clock):
    clock.now = clock.now.replace(microsecond=7)

    response = customers_api.post("/customers", json=new_customer())

    assert response.json["created_at"] == clock.now.isoformat() + "Z"
    assert response.json["created_at"].endswith(".000007Z")


@pytest.mark.parametrize(
    "name",
    [
        "Łódź 東京",
        "😀 GmbH",
        "O'Brien'; DROP TABLE customers",
        'a\\b"c',
        "x" * 200,
        "A \U0010ffff",
        "A \u202eB \ufeffC",
    ],
)
def test_any_printable_name_is_kept_as_it_is(customers_api, name):
    response = customers_api.post("/customers", json=new_customer(name=name))

    assert response.status_code == 201
    assert customers_api.get(f"/customers/{response.json['id']}").json["name"] == name


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_taken_email_is_409_whatever_its_case(customers_api, factory, refused, change):
    taken = factory.make_customer()
    request = new_customer(email=change(taken["email"]))

    response = refused((409, "email_taken"), customers_api.post, "/customers", json=request)

    assert response.json["customer_id"] == taken["id"]
    assert taken["email"] not in response.text.lower()


@pytest.mark.parametrize(
    "changes", [{"phone": "+49 30 1234"}, {"phone": None}, {"name": "New name"}, {"name": "New name", "phone": "123"}]
)
def test_put_replaces_the_fields_given_and_keeps_the_others(customers_api, factory, clock, changes):
    customer = factory.make_customer(phone="+1-555-0100")
    clock.advance(seconds=5)

    response = customers_api.put(f"/customers/{customer['id']}", json=changes)

    expected = {**customer, **changes, "updated_at": clock.now.isoformat(timespec="microseconds") + "Z"}
    assert response.status_code == 200
    assert response.json == expected
    assert customers_api.get(f"/customers/{customer['id']}").json == expected


def test_put_of_the_stored_values_still_makes_a_new_version(customers_api, factory):
    path = f"/customers/{factory.make_customer()['id']}"
    old = customers_api.get(path)

    response = customers_api.put(path, json={"name": old.json["name"]})

    assert response.status_code == 200
    assert response.headers["ETag"] != old.headers["ETag"]
    assert customers_api.get(path).headers["ETag"] == response.headers["ETag"]


def test_put_may_change_the_case_of_its_own_email(customers_api, factory):
    customer = factory.make_customer()

    response = customers_api.put(f"/customers/{customer['id']}", json={"email": customer["email"].upper()})

    assert response.status_code == 200
    assert response.json["email"] == customer["email"].upper()


def test_put_of_a_taken_email_is_409_and_changes_nothing(customers_api, factory, refused):
    path = f"/customers/{factory.make_customer()['id']}"
    taken = factory.make_customer()

    response = refused((409, "email_taken"), customers_api.put, path, json={"email": taken["email"], "name": "New"})

    assert response.json["customer_id"] == taken["id"]


@pytest.mark.parametrize("changes", [{}, {"id": 7}, {"name": None}, {"email": None}, {"created_at": "2026"}])
def test_put_of_nothing_or_of_what_may_not_change_is_400(customers_api, factory, refused, changes):
    customer = factory.make_customer()

    refused((400, "invalid_request"), customers_api.put, f"/customers/{customer['id']}", json=changes)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_deleted_customer_is_gone(customers_api, factory, refused, method):
    path = f"/customers/{factory.make_customer()['id']}"
    assert customers_api.delete(path).status_code == 204

    refused((404, "customer_not_found"), customers_api.request, method, path, json={"phone": "555"})


def test_email_of_a_deleted_customer_may_be_used_again_and_again(customers_api, factory):
    customer = factory.make_customer()
    customers_api.delete(f"/customers/{customer['id']}")
    second = customers_api.post("/customers", json=new_customer(email=customer["email"]))
    customers_api.delete(second.headers["Location"])

    third = customers_api.post("/customers", json=new_customer(email=customer["email"]))

    assert (second.status_code, third.status_code) == (201, 201)
    assert len({customer["id"], second.json["id"], third.json["id"]}) == 3


def test_internal_route_shows_what_an_order_keeps(customers_api, factory, service_token):
    customer = factory.make_customer()

    response = customers_api.get(f"/internal/customers/{customer['id']}", token=service_token)

    assert response.status_code == 200
    assert response.json == {name: customer[name] for name in ("id", "name", "email", "phone")}


def test_internal_route_has_no_deleted_customer(customers_api, factory, service_token):
    customer = factory.make_customer()
    customers_api.delete(f"/customers/{customer['id']}")

    response = customers_api.get(f"/internal/customers/{customer['id']}", token=service_token)

    assert refusal(response) == (404, "customer_not_found")
