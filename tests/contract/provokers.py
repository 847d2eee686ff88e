"""How to get each refusal and failure that many operations share, whatever the operation.

A provoker takes the world and the operation's request that would succeed; it returns the
answer to a request that fails.
"""

import pytest

from common import database as database_module
from common.contract import MAX_BODY_BYTES
from common.database import Database

# Of which table an operation has to lock rows, or gaps for new ones.
_LOCKED = {
    "create_customer": "customers", "update_customer": "customers", "delete_customer": "customers",
    "create_product": "products", "update_product": "products",
    "create_order": "products", "confirm_order": "orders", "cancel_order": "orders",
}  # fmt: skip

# What makes a request another one, under the same key.
_OTHER = {
    "create_customer": {"body": {"name": "Initech", "email": "orders@initech.example"}},
    "create_product": {"body": {"sku": "SKU-002", "name": "Monitor 27", "price_cents": 99900, "stock": 5}},
    "create_order": {"body": {"customer_id": 1, "items": [{"product_id": 1, "qty": 2}]}},
    "confirm_order": {"path": "/orders/2/confirm"},
    "cancel_order": {"path": "/orders/2/cancel"},
}
_KEY = {"X-Idempotency-Key": "the-key"}


class BrokenDatabase(Database):
    """Fails for a reason that is none of MySQL's."""

    def impatient(self):
        """Return itself: it fails at once."""
        return self

    def read(self, fn, *args):
        """Fail."""
        raise MemoryError()


class ReplicaDatabase(Database):
    """The real database, in sessions that may only read."""

    def impatient(self):
        """Return itself."""
        return self

    def read(self, fn, *args):
        """Run `fn` where nothing can be written."""

        def read_only(cursor):
            cursor.execute("SET SESSION transaction_read_only = ON")
            # All other tests' sessions may write.
            cursor.execute = _about_the_session(cursor.execute)
            return fn(cursor, *args)

        return super().read(read_only)


def _about_the_session(execute):
    asked = "@@GLOBAL.transaction_read_only"
    return lambda statement, values=(): execute(statement.replace(asked, "@@SESSION.transaction_read_only"), values)


def malformed_json(world, call):
    return world.send(call.but(body=b"{"))


def invalid_request(world, call):
    if call.body is None:
        return world.send(call.but(query="colour=red"))
    return world.send(call.but(body={**call.body, "colour": "red"}))


def invalid_cursor(world, call):
    return world.send(call.but(query="cursor=eyJpZCI6MX0"))


def authentication_required(world, call):
    return world.send(call.but(token=None))


def invalid_token(world, call):
    return world.send(call.but(token="expired"))


def insufficient_scope(world, call):
    return world.send(call.but(token="without scopes"))


def caller_not_allowed(world, call):
    return world.send(call.but(token={"operator": "service", "service": "operator"}[call.token]))


def not_found(world, call):
    return world.send(call.but(path=call.path.replace("/1", "/01")))


def row_not_found(world, call):
    return world.send(call.but(path=call.path.replace("/1", "/999")))


def idempotency_key_in_flight(world, call):
    # What the first request with the key holds while it runs, whichever key it is.
    with world.others_hold("idempotency_slots"):
        return world.send(call.but(headers=_KEY))


def length_required(world, call):
    return world.send(call.but(headers={"Transfer-Encoding": "chunked"}))


def precondition_failed(world, call):
    return world.send(call.but(headers={"If-Match": '"7"'}))


def payload_too_large(world, call):
    return world.send(call.but(body=b" " * (MAX_BODY_BYTES + 1)))


def unsupported_media_type(world, call):
    return world.send(call.but(headers={"Content-Type": "text/plain"}))


def idempotency_key_reused(world, call):
    first = call.but(headers=_KEY)
    assert world.send(first).status in (200, 201)
    return world.send(first.but(**_OTHER[call.operation]))


def internal_error(world, call):
    # A schema in which nothing is, as after a restore gone wrong.
    return world.send(call, database=world.other_database(name=world.empty_schema))


def check_broken(world, call):
    return world.send(call, database=world.other_database(BrokenDatabase))


def database_unavailable(world, call):
    return world.send(call, database=world.other_database(port=1))


def database_read_only(world, call):
    return world.send(call, database=world.other_database(ReplicaDatabase))


def schema_outdated(world, call):
    return world.send(call, database=world.other_database(name=world.empty_schema))


def busy(world, call):
    with world.others_hold(_LOCKED[call.operation]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(database_module, "MAX_ATTEMPTS", 1)  # each takes a second
        return world.send(call)


# code -> its provoker
PROVOKERS = {
    **{
        provoker.__name__: provoker
        for provoker in (
            malformed_json, invalid_request, invalid_cursor,
            authentication_required, invalid_token, insufficient_scope, caller_not_allowed,
            not_found, idempotency_key_in_flight, length_required, precondition_failed, payload_too_large,
            unsupported_media_type, idempotency_key_reused,
            internal_error, database_unavailable, database_read_only, schema_outdated, busy,
        )
    },
    **dict.fromkeys(("customer_not_found", "product_not_found", "order_not_found"), row_not_found),
}  # fmt: skip

# Those that need nothing of the operation: no token, no key, no database.
ANYWHERE = (
    "malformed_json", "invalid_request", "invalid_cursor", "authentication_required", "invalid_token",
    "insufficient_scope", "not_found", "length_required", "precondition_failed", "payload_too_large",
    "unsupported_media_type",
)  # fmt: skip
