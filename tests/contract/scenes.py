"""How to get the answers that belong to one operation alone: a scene for each such example.

A scene takes the world and the operation's request that succeeds, as `provokers` do.
"""

import json
from dataclasses import replace
from datetime import timedelta

from tests.contract import story
from tests.contract.provokers import check_broken
from tests.contract.story import CANCELED_AT, CONFIRMED_AT, ORDERED_AGAIN_AT, ORDERED_AT
from tests.system.proxy import answer_html, drop

PART_OF_A_SECOND = 700  # ms for a call that can't succeed; half a second of it is kept back


def plain(world, call):
    """Send what succeeds."""
    return world.send(call)


def changed(**changes):
    """Return a scene: the request, changed."""
    return lambda world, call: world.send(call.but(**changes))


def with_body(**fields):
    """Return a scene: the request with other fields in its body."""
    return lambda world, call: world.send(call.but(body={**call.body, **fields}))


def after(chapter, moment=ORDERED_AT, **changes):
    """Return a scene: the request, changed, after another chapter, at a moment."""

    def scene(world, call):
        world.begin(chapter)
        world.clock.set(moment)
        return world.send(call.but(**changes))

    return scene


def after_withdrawal(world, call):
    """Order what is no longer sold."""
    assert world.send(story.call("orders", "update_product", "withdraw")).status == 200
    return world.send(call)


def without_customers(world, call):
    """Send it while the Customers API is away."""
    return world.send(call, customers_client=world.programs.no_customers_client)


class BrokenClient:
    """A client of Customers that fails for a reason that is none of Customers'."""

    def fetch_token(self, credentials, headers):
        """Fail."""
        raise MemoryError()


def broken(world, call):
    """Log in where Orders itself fails."""
    return world.send(call, customers_client=BrokenClient())


def without_page(world, call):
    """Ask where the page is off."""
    return world.send(call, api_docs=False)


def unmodified_content(world, call):
    """Ask again with the entity tag of the content."""
    return world.send(call.but(headers={"If-None-Match": world.send(call).headers["etag"]}))


def beginning_of_the_contract(world, call):
    """Leave out of the document what is long: its description but for the first line, tags, paths and components."""
    answer = world.send(call)
    document = json.loads(answer.content)
    document["info"]["description"] = document["info"]["description"].partition("\n")[0]
    short = {
        name: type(value)() if name in ("tags", "paths", "components") else value for name, value in document.items()
    }
    return replace(answer, content=json.dumps(short).encode())


def without_key(world, call):
    """Leave the idempotency key out."""
    return world.send(replace(call, headers={"X-Request-ID": call.headers["X-Request-ID"]}))


def key_of_another_order(world, call):
    """Order something else with a key that has made an order."""
    assert world.send(call).status == 201
    return world.send(call.but(body={**call.body, "customer_reference": "PO-2026-119"}))


def canceled_in_between(world, call):
    """Repeat a call of which the confirmation never came, after somebody has canceled its order."""
    made = story.call("orders", "create_order").but(
        token="service", headers={"X-On-Behalf-Of": "demo", "X-Idempotency-Key": call.body["idempotency_key"]}
    )
    world.clock.set(ORDERED_AT)
    assert world.send(made).status == 201
    assert world.send(story.call("orders", "cancel_order")).status == 200
    return world.send(call)


def failing(pattern, script):
    """Return a scene: the request while Orders fails at a path."""

    def scene(world, call):
        world.programs.orders_proxy.script("POST", pattern, script)
        try:
            return world.send(call, milliseconds=PART_OF_A_SECOND)
        finally:
            world.programs.orders_proxy.reset()

    return scene


def misconfigured(world, call):
    """Start the function with a setting that is refused."""
    return world.send(call, JWT_SECRET="too short")


_TWELVE_LAPTOPS = [{"product_id": 1, "qty": 12}]
_UNKNOWN_PRODUCT = [{"product_id": 1, "qty": 2}, {"product_id": 6, "qty": 1}]
_unmodified = changed(headers={"If-None-Match": '"1"'})

DOCUMENTATION = {
    ("get_contract", 200, "beginning"): beginning_of_the_contract,
    ("get_contract", 304, None): unmodified_content,
    ("get_contract", 404, "not_found"): without_page,
    ("get_documentation", 304, None): unmodified_content,
    ("get_documentation", 404, "not_found"): without_page,
}

CUSTOMERS = {
    **DOCUMENTATION,
    ("issue_token", 401, "invalid_credentials"): with_body(password="wrong-password"),
    ("create_customer", 409, "email_taken"): after(story.stocked),
    ("list_customers", 200, "last_page"): changed(query="search=acme"),
    ("list_customers", 200, "more"): changed(query="limit=1"),
    ("get_customer", 304, None): _unmodified,
    ("update_customer", 409, "email_taken"): changed(body={"email": "purchasing@globex.example"}),
    ("health_ready", 500, "internal_error"): check_broken,
}

ORDERS = {
    **DOCUMENTATION,
    ("log_in_documentation", 401, "invalid_credentials"): with_body(password="wrong-password"),
    ("log_in_documentation", 404, "not_found"): without_page,
    ("log_in_documentation", 500, "internal_error"): broken,
    ("log_in_documentation", 503, "customers_unavailable"): without_customers,
    ("create_product", 409, "sku_taken"): after(story.stocked),
    ("list_products", 200, "first_page"): changed(query="limit=2"),
    ("list_products", 200, "no_match"): changed(query="search=tablet"),
    ("get_product", 304, None): _unmodified,
    ("update_product", 409, "insufficient_stock"): changed(body={"stock_delta": -12}),
    ("create_order", 404, "customer_not_found"): with_body(customer_id=4),
    ("create_order", 404, "product_not_found"): with_body(items=_UNKNOWN_PRODUCT),
    ("create_order", 409, "insufficient_stock"): with_body(items=[*_TWELVE_LAPTOPS, {"product_id": 2, "qty": 6}]),
    ("create_order", 409, "product_inactive"): after_withdrawal,
    ("create_order", 409, "duplicate_reference"): after(story.ordered, ORDERED_AGAIN_AT),
    ("create_order", 503, "customers_unavailable"): without_customers,
    ("get_order", 200, "confirmed"): after(story.confirmed, CONFIRMED_AT),
    ("get_order", 200, "canceled"): after(story.canceled, CANCELED_AT),
    ("get_order", 304, None): _unmodified,
    ("list_orders", 200, "page"): changed(query="customer_id=1"),
    ("confirm_order", 400, "invalid_request"): without_key,
    ("confirm_order", 409, "order_state_conflict"): after(
        story.canceled, CANCELED_AT, headers={"X-Idempotency-Key": "another-key"}
    ),
    ("cancel_order", 409, "cancel_window_closed"): after(story.confirmed, CONFIRMED_AT + timedelta(seconds=601)),
    ("health_ready", 500, "internal_error"): check_broken,
}

ORCHESTRATOR = {
    ("create_and_confirm_order", 400, "invalid_request"): changed(
        body={"customer_id": 1, "items": [{"product_id": 1, "qty": 0}]}
    ),
    ("create_and_confirm_order", 404, "customer_not_found"): with_body(customer_id=4),
    ("create_and_confirm_order", 404, "product_not_found"): with_body(items=_UNKNOWN_PRODUCT),
    ("create_and_confirm_order", 409, "insufficient_stock"): with_body(items=_TWELVE_LAPTOPS),
    ("create_and_confirm_order", 409, "product_inactive"): after_withdrawal,
    ("create_and_confirm_order", 409, "duplicate_reference"): after(story.ordered, ORDERED_AGAIN_AT),
    ("create_and_confirm_order", 409, "order_state_conflict"): canceled_in_between,
    ("create_and_confirm_order", 422, "idempotency_key_reused"): key_of_another_order,
    ("create_and_confirm_order", 500, "internal_error"): misconfigured,
    ("health", 500, "internal_error"): misconfigured,
    ("create_and_confirm_order", 502, "upstream_broken"): failing("/orders", answer_html),
    ("create_and_confirm_order", 504, "upstream_timeout"): failing("/orders/1/confirm", drop),
}

SCENES = {
    (document, *example): scene
    for document, scenes in (("customers", CUSTOMERS), ("orders", ORDERS), ("orchestrator", ORCHESTRATOR))
    for example, scene in scenes.items()
}
