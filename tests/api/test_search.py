"""Search: exactly "contains", case-insensitively, whatever the characters are."""

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import times
from common.search import escaped
from orders import product_store, product_workflows
from tests.contract_client import refusal
from tests.factories import ORIGIN, unique


def found(api, path, search):
    ids, cursor = set(), ""
    while cursor is not None:
        page = api.get(path, params={"search": search, "limit": 100, "cursor": cursor})
        assert page.status_code == 200, page.text
        ids |= {row["id"] for row in page.json["data"]}
        cursor = page.json["next_cursor"]
    return ids


CASES = {
    "part of two words": ("Laptop Pro 15", "Laptop and Pro", "top Pr"),
    "accent in upper case": ("Café crème", "Coffee", "CAFÉ"),
    "accent left out": ("Müller desk", "Miller desk", "muller"),
    "accent that is not there": ("Resume folder", "Rename folder", "résumé"),
    "capital I with a dot": ("İstanbul lamp", "Ankara lamp", "İstanb"),
    "percent": ("100% cotton", "100 cotton", "100%"),
    "underscore": ("cable a_b", "cable axb", "a_b"),
    "pipe": ("x|y adapter", "xy adapter", "x|y"),
    "backslash": ("C:\\path", "C:path", "C:\\pa"),
    "boolean operators": ("shelf +foo -bar*", "shelf foo bar", "+foo -bar*"),
    "4-byte character in a word": ("smile😀face", "smile🎉face", "le😀fa"),
    "ideographs": ("東京タワー", "大阪タワー", "京タ"),
    "one character": ("ЖАР lamp", "SAR lamp", "ж"),
    "one digit among letters": ("Type X9Z", "Type X8Z", "9z"),
    "two spaces": ("two  spaces", "two spaces", "o  s"),
    "SQL": ("x'; DROP TABLE products; --", "x DROP TABLE products", "'; DROP TABLE"),
    "first of two places with one beginning": ("bananas", "banal", "nas"),
    "second of two places with one beginning": ("an anorak", "an anode", "anor"),
    "six characters": ("Laptop Pro", "Laptop Bag", "top Pr"),
    "seven characters": ("Laptop Pro", "Laptop Prx", "top Pro"),
    "percent among the three after": ("abc10% off", "abc10x off", "abc10%"),
    "long text": ("y" * 150, "y" * 99, "y" * 100),
    "one letter that is two elsewhere": ("abcssx abcßx", "abcssx abcsx", "abcßx"),
    "letters newer than the index": ("Ꟈ letter", "Ɤ letter", "Ꟈ le"),
}


@pytest.mark.parametrize(("name", "decoy", "search"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize(
    ("api", "path", "make"),
    [("orders_api", "/products", "make_product"), ("customers_api", "/customers", "make_customer")],
)
def test_row_is_found_by_a_part_of_its_name_and_the_decoy_is_not(
    request, factory, api, path, make, name, decoy, search
):
    wanted, other = (getattr(factory, make)(name=each)["id"] for each in (name, decoy))

    assert found(request.getfixturevalue(api), path, search) & {wanted, other} == {wanted}


def test_product_is_found_by_a_part_of_its_sku(orders_api, factory):
    mark = unique("SKU/part.of")
    product = factory.make_product(sku=mark)

    assert found(orders_api, "/products", mark[2:].lower()) == {product["id"]}


@pytest.mark.parametrize("field", ["email", "phone"])
def test_customer_is_found_by_a_part_of_each_field(customers_api, factory, field):
    number = unique("")[1:]
    customer = factory.make_customer(email=f"info+{number}@mail.example", phone=f"+49 (30) {number}-7")
    part = customer[field][2:-2]

    assert found(customers_api, "/customers", part) == {customer["id"]}


@pytest.mark.parametrize("joint", ["", " ", "-"])
def test_words_of_two_fields_are_not_joined(orders_api, factory, joint):
    product = factory.make_product(sku=unique("ONE") + "TAIL", name="HEAD of a name")

    assert product["id"] not in found(orders_api, "/products", f"TAIL{joint}HEAD")


def test_deleted_customer_is_not_found(customers_api, factory):
    name = unique("ghost")
    ids = [factory.make_customer(name=name)["id"], factory.make_customer(name=name)["id"]]
    customers_api.delete(f"/customers/{ids[0]}")

    assert found(customers_api, "/customers", name) == {ids[1]}


@pytest.mark.parametrize("search", ["x" * 101, "a\nb", "a\x00b", "\x7f"])
@pytest.mark.parametrize(("api", "path"), [("customers_api", "/customers"), ("orders_api", "/products")])
def test_search_against_the_contract_is_400(request, api, path, search):
    response = request.getfixturevalue(api).get(path, params={"search": search})

    assert refusal(response) == (400, "invalid_request")
    assert response.json["errors"][0]["pointer"] == "query:search"


def test_product_with_a_text_in_many_places_is_found_once(orders_api, factory):
    name = unique("anana")
    factory.make_product(name=f"{name} {name}anan ananas anan")

    page = orders_api.get("/products", params={"search": "anan", "limit": 100}).json

    assert [row["name"].startswith(name) for row in page["data"]].count(True) == 1


def test_renamed_rows_are_found_by_the_new_names_only(customers_api, orders_api, factory):
    old, new = unique("before"), unique("after")
    customer, product = factory.make_customer(name=old)["id"], factory.make_product(name=old)["id"]

    customers_api.put(f"/customers/{customer}", json={"name": new})
    customers_api.put(f"/customers/{customer}", json={"name": new.upper()})
    orders_api.patch(f"/products/{product}", json={"name": new})

    assert [found(customers_api, "/customers", name) for name in (old, new)] == [set(), {customer}]
    assert [found(orders_api, "/products", name) for name in (old, new)] == [set(), {product}]


@pytest.mark.parametrize("search", ["Ω", "ψΩ", "φ", "φχ"], ids=["last", "last two", "first", "first two"])
def test_one_or_two_characters_at_an_end_of_the_text_are_found(orders_api, factory, search):
    product = factory.make_product(name="φχ in the middle ψΩ")

    assert product["id"] in found(orders_api, "/products", search)


def test_two_characters_that_very_many_rows_have_are_found_in_the_table_itself(orders_api, factory, other_connection):
    product = factory.make_product(name="ЪЫ")
    cursor = other_connection.cursor()
    cursor.execute(
        """
        INSERT INTO product_search (c1, c2, c3, id, rest)
        WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 999)
        SELECT 'Ъ', 'Ы', CHAR(64 + tens.i USING utf8mb4), 1000000000 + n.i, '' FROM n JOIN n AS tens ON tens.i < 6
        """
    )
    other_connection.commit()

    assert found(orders_api, "/products", "ъы") == {product["id"]}


# --- whatever LIKE finds ---------------------------------------------------------------

# A few characters of each, so that texts are often nearly equal: letters of several forms, marks that NFC composes and
# others, digits, what the collation ignores, splits in two, or takes together with its neighbour.
SCRIPTS = {
    "Latin": "aàåsSßﬁfiIıİoøœe1²\u0301\u0323\u00ad %_|",
    "Cyrillic": "вВиИйеёѐ\u0306\u0308\u0301 1",
    "Greek": "σςΣωώΩᾳ\u0345\u0301\u0313 1",
    "Hebrew": "אבבּשׁש\u05bc\u05b8\ufb4f 1",
    "Arabic": "اأآبلﻻه\u0653\u064e\u0651\u0640١1",
    "Thai": "กงขเแไาำ่้\u0e4d\u0e31๑1",
    "Devanagari": "कखकिनऩ\u093c\u0958\u094d\u200d१1",
    "Chinese, Japanese, Korean": "東豈豈かがカｶﾞ\u3099\u30fc가각ᄀ\u1161\u11a8ㄱ一㊀",
    "emoji": "😀🎉👍❤1\u20e3\U0001f3fd\u200d\ufe0f",
}


def nfc(text):
    return unicodedata.normalize("NFC", text)


@st.composite
def names_and_search(draw):
    """Names of few characters, and a text to search for: a part of one of them, or one that is much like them."""
    script = "".join(draw(st.lists(st.sampled_from([*SCRIPTS.values()]), min_size=1, max_size=2)))
    alphabet = draw(st.lists(st.sampled_from(script), min_size=2, max_size=6))
    texts = st.text(alphabet, min_size=1, max_size=20).map(nfc)
    names = draw(st.lists(texts, min_size=1, max_size=4))
    name, start, length = draw(st.sampled_from(names)), draw(st.integers(0, 19)), draw(st.integers(1, 9))
    part = name[start:][:length] or name
    return names, draw(st.sampled_from([part, nfc(part.swapcase())]) | texts)


# More by hand: EXAMPLES=2000.
@settings(max_examples=int(os.environ.get("EXAMPLES", "100")), derandomize="EXAMPLES" not in os.environ, deadline=None)
@given(names_and_search())
def test_search_finds_what_like_finds_in_any_script(database, names_and_search):
    names, search = names_and_search

    def find(tx):
        for name in names:
            product = {"sku": unique("SKU"), "name": name, "price_cents": 1, "stock": 1}
            product_workflows.create_product(tx, times.utc_now, product, ORIGIN)
        rows = product_store.select_products(tx, search, None, 10_000)
        pattern = f"%{escaped(search)}%"
        tx.execute(
            "SELECT id FROM products WHERE sku LIKE %s ESCAPE '|' OR name LIKE %s ESCAPE '|'", (pattern, pattern)
        )
        like = {row["id"] for row in tx.fetchall()}
        tx.execute("ROLLBACK")
        return {row["id"] for row in rows}, like

    found, like = database.transact(find)

    assert found == like
