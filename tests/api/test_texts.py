"""Texts are kept in one form: NFC, no white space at either end, never without a character that can be seen."""

import pytest

from tests.factories import order_request, unique

DECOMPOSED, COMPOSED = "Cafe\u0301", "Caf\u00e9"


@pytest.fixture
def write(customers_api, orders_api, factory):
    """`write(field, text)` sends a request with that text and returns the answer."""

    def send(field, text):
        customer, product = factory.make_customer(), factory.make_product()
        order = order_request(customer, (product, 1))
        return {
            "name": lambda: customers_api.put(f"/customers/{customer['id']}", json={"name": text}),
            "phone": lambda: customers_api.put(f"/customers/{customer['id']}", json={"phone": text}),
            "email": lambda: customers_api.put(f"/customers/{customer['id']}", json={"email": text}),
            "product name": lambda: orders_api.patch(f"/products/{product['id']}", json={"name": text}),
            "sku": lambda: orders_api.patch(f"/products/{product['id']}", json={"sku": text}),
            "customer_reference": lambda: orders_api.post("/orders", json={**order, "customer_reference": text}),
            "reason": lambda: orders_api.post(
                f"/orders/{orders_api.post('/orders', json=order).json['id']}/cancel", json={"reason": text}
            ),
        }[field]()

    return send


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("name", f" \u00a0{DECOMPOSED}\u3000\n", COMPOSED),
        ("phone", " +1-555 ", "+1-555"),
        ("email", " a@example.test\t", "a@example.test"),
        ("product name", f"{DECOMPOSED} ", COMPOSED),
        ("customer_reference", "4500017 ", "4500017"),
        ("name", "e\u0301" * 200, "\u00e9" * 200),  # lengths are measured afterwards
        ("name", "a\u200bb", "a\u200bb"),
    ],
)
def test_text_is_kept_in_its_one_form(write, field, sent, kept):
    assert write(field, sent).json[field.split()[-1]] == kept


@pytest.mark.parametrize("field", ["name", "product name", "customer_reference", "reason"])
@pytest.mark.parametrize("text", ["\u200b", "\u2060", "\ufeff", "\u00ad", "\u3164", "\u115f", "\u034f", "\u2800"])
def test_text_that_nobody_can_see_is_refused(write, field, text):
    response = write(field, f" {text} ")

    assert [error["code"] for error in response.json["errors"]] == ["invisible"]


@pytest.mark.parametrize("field", ["phone", "customer_reference", "reason"])
@pytest.mark.parametrize("text", ["", " ", "\u3000"])
def test_empty_optional_text_is_null(write, field, text):
    response = write(field, text)

    assert response.status_code in (200, 201)
    assert response.json.get(field) is None


@pytest.mark.parametrize("field", ["name", "sku", "email"])
def test_empty_text_that_is_needed_is_refused(write, field):
    assert [error["pointer"] for error in write(field, " ").json["errors"]][:1] == [f"#/{field}"]


def test_references_that_differ_in_form_only_are_one(orders_api, factory, refused):
    order = order_request(factory.make_customer(), (factory.make_product(), 1))
    reference = unique("PO") + DECOMPOSED
    orders_api.post("/orders", json={**order, "customer_reference": reference})

    again = {**order, "customer_reference": reference.replace(DECOMPOSED, COMPOSED + " ")}
    refused((409, "duplicate_reference"), orders_api.post, "/orders", json=again)


def test_key_is_of_the_body_as_it_was_sent(orders_api, factory, refused):
    order = order_request(factory.make_customer(), (factory.make_product(), 1))
    key = {"X-Idempotency-Key": unique("key")}
    sent = {**order, "customer_reference": unique("PO") + " "}
    orders_api.post("/orders", json=sent, headers=key)

    assert orders_api.post("/orders", json=sent, headers=key).headers["Idempotent-Replayed"] == "true"
    trimmed = {**sent, "customer_reference": sent["customer_reference"].strip()}
    refused((422, "idempotency_key_reused"), orders_api.post, "/orders", json=trimmed, headers=key)


def test_search_is_brought_to_the_same_form(customers_api, write):
    name = unique(DECOMPOSED)
    customer = write("name", name).json

    found = customers_api.get("/customers", params={"search": f"\u00a0{name} "}).json["data"]

    assert [entry["id"] for entry in found] == [customer["id"]]


@pytest.mark.parametrize("sku", ["6ES7 214-1AG40-0XB0", "A+B", "4,5mm", "DIN912:M8", "#1"])
def test_sku_is_printable_ascii_with_spaces_inside(write, sku):
    sku = f"{sku} {unique('x')}"

    assert write("sku", f" {sku} ").json["sku"] == sku


@pytest.mark.parametrize(
    "email",
    [
        "a.b+c@example.test",
        '"a b"@example.test',
        '"a\\"@b"@example.test',
        "!#$%&'*+/=?^_`{|}~-@example.test",
        "a@localhost",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        f"{'a' * 64}@{'b' * 63}.test",
    ],
)
def test_email_is_what_rfc_5321_allows(write, email):
    assert write("email", email).json["email"] == email


@pytest.mark.parametrize(
    "email",
    [
        *("a@-b.test", "a@b-.test", "a@b.-c.test", "a..b@c.test", ".a@c.test", "a.@c.test", "a@b..test", "a@.test"),
        *('"a@b.test', "a b@c.test", "a@b_c.test", f"{'a' * 65}@b.test", f"a@{'b' * 64}.test"),
    ],
)
def test_any_other_email_is_refused(write, email):
    assert [error["code"] for error in write("email", email).json["errors"]] == ["pattern"]
