"""Operators over REST: who may be added and changed, and that their tokens end."""

import dataclasses

import pytest

from common.auth import Caller
from common.config import Server
from common.current_operators import CurrentOperators
from common.problems import DatabaseUnavailable, InvalidCredentials
from customers import operator_store, operator_workflows
from tests.contract_client import refusal
from tests.factories import order_request, unique

PASSWORD, OTHER = "seven-brown-pallets", "eight-green-crates"
REVOKED = (401, "token_revoked")


@pytest.fixture
def admin(make_customers_api, make_token):
    """A client of the Customers API whose every request is an admin's."""
    api = make_customers_api()
    token = make_token("root-admin", "admin")

    def send(method, path, body=None, **headers):
        return api.request(method, path, json=body, token=token, headers=headers)

    return send


@pytest.fixture
def log_in(customers_api):
    """`log_in(username, password)` asks for a token."""
    return lambda username, password: customers_api.post(
        "/auth/token", json={"username": username, "password": password}, token=None
    )


def new_operator(**changes):
    return {"username": unique("maria"), "role": "operator", "password": PASSWORD} | changes


def test_operator_that_was_added_logs_in_and_is_listed(admin, log_in):
    operator = new_operator()

    created = admin("POST", "/operators", operator)
    token = log_in(operator["username"], PASSWORD).json["token"]
    read = admin("GET", created.headers["Location"])

    assert (created.status_code, created.headers["ETag"]) == (201, '"1"')
    assert created.json["role"] == "operator"
    assert created.json["last_login_at"] is None
    assert token
    assert read.json["last_login_at"] is not None
    assert PASSWORD not in created.text + read.text


def test_list_has_pages_and_a_filter(admin, factory):
    active, inactive = factory.make_operator(PASSWORD), factory.make_operator(PASSWORD, active=False)
    names, cursor = [], ""
    while cursor is not None:
        page = admin("GET", f"/operators?active=false&limit=1&cursor={cursor}").json
        names, cursor = names + [row["username"] for row in page["data"]], page["next_cursor"]

    assert inactive in names
    assert active not in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", ["\u00f3p", "op%E2%80%8B", "o%EF%BD%90"])
def test_path_has_the_name_as_it_is(admin, refused, factory, path):
    name = factory.make_operator(PASSWORD)
    path = f"/operators/{name.replace('op', path, 1)}"

    refused((404, "operator_not_found"), admin, "PATCH", path, {"active": False})
    refused((404, "operator_not_found"), admin, "GET", path)


@pytest.mark.parametrize("name", ["service", "SYSTEM", ".", ".."])
def test_reserved_name_is_refused_whatever_its_case(admin, refused, name):
    response = refused((400, "invalid_request"), admin, "POST", "/operators", new_operator(username=name))

    assert response.json["errors"][0]["pointer"] == "#/username"


@pytest.mark.parametrize("password", ["short", "demo-password", "password123", "1q2w3e4r5t", "tab\tulator-pallets"])
def test_password_that_is_short_or_easily_guessed_is_refused_and_not_echoed(admin, refused, password):
    response = refused((400, "invalid_request"), admin, "POST", "/operators", new_operator(password=password))

    assert response.json["errors"][0]["pointer"] == "#/password"
    assert password not in response.text


def test_password_is_not_the_name(admin, refused):
    name = "wilhelmine.adelheid"

    refused((400, "invalid_request"), admin, "POST", "/operators", new_operator(username=name, password=name))


def test_name_is_taken_whatever_its_case(admin, factory, refused):
    name = factory.make_operator(PASSWORD).upper()

    refused((409, "username_taken"), admin, "POST", "/operators", new_operator(username=name))


def test_only_an_admin_may(customers_api, make_token, refused):
    for role in ("viewer", "operator"):
        token = make_token(role=role)
        refused((403, "insufficient_scope"), customers_api.get, "/operators", token=token)
        refused((403, "insufficient_scope"), customers_api.post, "/operators", json=new_operator(), token=token)


def test_unknown_operator_is_404(admin, refused):
    refused((404, "operator_not_found"), admin, "GET", "/operators/nobody")
    refused((404, "operator_not_found"), admin, "PATCH", "/operators/nobody", {"active": False})
    refused((404, "operator_not_found"), admin, "POST", "/operators/nobody/revoke-tokens")


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"active": False}, {"password": OTHER}])
def test_change_ends_the_tokens_in_both_services_within_a_minute(
    admin, log_in, customers_api, orders_api, factory, clock, change
):
    name = factory.make_operator(PASSWORD)
    token = log_in(name, PASSWORD).json["token"]
    before = [
        api.get(path, token=token).status_code for api, path in ((customers_api, "/customers"), (orders_api, "/orders"))
    ]

    changed = admin("PATCH", f"/operators/{name}", change)
    clock.advance(seconds=16)

    assert (before, changed.status_code, changed.headers["ETag"]) == ([200, 200], 200, '"2"')
    assert refusal(customers_api.get("/customers", token=token)) == REVOKED
    assert refusal(orders_api.get("/orders", token=token)) == REVOKED


def test_operator_that_was_let_in_again_gets_in_at_once(admin, log_in, customers_api, factory, clock):
    clock.advance(seconds=-16)  # the library that checks tokens takes none of the future
    name = factory.make_operator(PASSWORD)
    admin("PATCH", f"/operators/{name}", {"active": False})
    assert refusal(log_in(name, PASSWORD)) == (401, "invalid_credentials")
    clock.advance(seconds=16)
    customers_api.get("/customers")  # reads that it is inactive

    admin("PATCH", f"/operators/{name}", {"active": True})

    assert customers_api.get("/customers", token=log_in(name, PASSWORD).json["token"]).status_code == 200


def test_change_that_changes_nothing_ends_no_token(admin, factory):
    name = factory.make_operator(PASSWORD)

    assert admin("PATCH", f"/operators/{name}", {"role": "operator"}).headers["ETag"] == '"1"'


def test_what_a_get_gave_may_be_changed_and_sent_back_once(admin, factory):
    path = f"/operators/{factory.make_operator(PASSWORD)}"
    read = admin("GET", path)
    body = {**read.json, "role": "viewer"}

    first = admin("PATCH", path, body, **{"If-Match": read.headers["ETag"]})
    second = admin("PATCH", path, body, **{"If-Match": read.headers["ETag"]})

    assert (first.status_code, first.json["role"]) == (200, "viewer")
    assert refusal(second) == (412, "precondition_failed")


def test_nobody_changes_their_own_role(customers_api, make_token, factory, refused):
    name = factory.make_operator(PASSWORD, role="admin")
    token = make_token(name, "admin")

    for change in ({"role": "viewer"}, {"active": False}):
        refused((409, "own_account"), customers_api.patch, f"/operators/{name}", json=change, token=token)
    assert customers_api.patch(f"/operators/{name}", json={"password": OTHER}, token=token).status_code == 200


def test_last_active_admin_stays(admin, factory, database, refused):
    name = factory.make_operator(PASSWORD, role="admin")
    database.transact(
        lambda tx: tx.execute("UPDATE operators SET active = (username = %s) WHERE role = 'admin'", (name,))
    )

    for change in ({"role": "operator"}, {"active": False}):
        refused((409, "last_admin"), admin, "PATCH", f"/operators/{name}", change)


def test_revoked_tokens_end_once_for_a_key(admin, customers_api, log_in, factory, clock):
    name = factory.make_operator(PASSWORD)
    token = log_in(name, PASSWORD).json["token"]
    headers = {"X-Idempotency-Key": unique("key")}

    first, again = [admin("POST", f"/operators/{name}/revoke-tokens", **headers) for _ in range(2)]
    clock.advance(seconds=16)

    assert (first.status_code, again.status_code, again.headers.get("Idempotent-Replayed")) == (204, 204, "true")
    assert refusal(customers_api.get("/customers", token=token)) == REVOKED
    assert admin("GET", f"/operators/{name}").headers["ETag"] == '"2"'


def test_log_out_ends_all_tokens_of_the_name(customers_api, log_in, factory, clock):
    name = factory.make_operator(PASSWORD)
    tokens = [log_in(name, PASSWORD).json["token"] for _ in range(2)]

    out = customers_api.post("/auth/logout", token=tokens[0])
    clock.advance(seconds=16)

    assert out.status_code == 204
    assert [refusal(customers_api.get("/customers", token=token)) for token in tokens] == [REVOKED] * 2


def test_own_password_is_changed_with_the_old_one(customers_api, log_in, factory):
    name = factory.make_operator(PASSWORD)

    def change(old, new):
        body = {"username": name, "password": old, "new_password": new}
        return customers_api.post("/auth/password", json=body, token=None)

    assert refusal(change("wrong", OTHER)) == (401, "invalid_credentials")
    assert refusal(change(PASSWORD, "password123")) == (400, "invalid_request")
    assert change(PASSWORD, OTHER).status_code == 204
    assert [log_in(name, word).status_code for word in (PASSWORD, OTHER)] == [401, 200]


def test_password_that_was_replaced_while_it_was_checked_changes_nothing(factory, database, clock):
    name = factory.make_operator(PASSWORD)
    old_hash = database.read(operator_store.select_operator, name)["password_hash"]
    database.transact(operator_workflows.set_password, clock, name, old_hash, "the admin's")

    with pytest.raises(InvalidCredentials):
        database.transact(operator_workflows.set_password, clock, name, old_hash, "the other's")


def test_operator_who_was_promoted_or_let_in_again_is_acted_for_at_once(admin, orders_api, service_token, factory):
    name = factory.make_operator(PASSWORD, role="viewer")
    headers = {"X-On-Behalf-Of": name}
    assert orders_api.get("/orders", token=service_token, headers=headers).status_code == 200
    for change in ({"role": "operator"}, {"active": False}, {"active": True}):
        version = admin("PATCH", f"/operators/{name}", change).headers["ETag"].strip('"')

    body = order_request(factory.make_customer(), (factory.make_product(), 1))
    headers |= {"X-On-Behalf-Of-Version": version}
    assert orders_api.post("/orders", json=body, token=service_token, headers=headers).status_code == 201


def test_program_acts_for_an_operator_by_a_token_that_has_not_ended(admin, orders_api, service_token, factory, clock):
    known_operator = factory.make_operator(PASSWORD)
    customer, product = factory.make_customer(), factory.make_product()

    def order(**headers):
        headers |= {"X-On-Behalf-Of": known_operator}
        body = order_request(customer, (product, 1))
        return orders_api.post("/orders", json=body, token=service_token, headers=headers)

    assert order(**{"X-On-Behalf-Of-Version": "1"}).status_code == 201
    admin("POST", f"/operators/{known_operator}/revoke-tokens")
    clock.advance(seconds=16)
    assert refusal(order(**{"X-On-Behalf-Of-Version": "1"})) == REVOKED
    assert order().status_code == 201
    admin("PATCH", f"/operators/{known_operator}", {"active": False})
    clock.advance(seconds=16)
    assert refusal(order()) == REVOKED


def test_what_is_known_of_operators_is_at_most_a_minute_old(make_database, database_settings, factory, clock):
    operators = CurrentOperators(make_database(), lambda: clock().timestamp())
    ended, good = (Caller("operatorToken", factory.make_operator(PASSWORD)) for _ in range(2))
    operators.require_current(good)
    operators._database = make_database(
        settings=dataclasses.replace(database_settings, servers=(Server("127.0.0.1", 1),))
    )

    clock.advance(seconds=60)
    operators.require_current(ended)
    clock.advance(seconds=1.001)

    with pytest.raises(DatabaseUnavailable):
        operators.require_current(good)
