"""The rules of operators: each function is the body of one transaction."""

from typing import Any

from common import conditional, strict_json
from common.auth import Caller
from common.connection import Cursor, Row
from common.idempotency import Answer
from common.problems import InvalidCredentials, InvalidRequest, LastAdmin, OperatorNotFound, OwnAccount
from common.schemas import make_error
from common.times import Clock
from customers import operator_store, passwords
from customers.representations import operator_to_json

RESERVED = ("service", "system")  # what the audit trail calls callers that are no operator


def require_fit(pointer: str, password: str, username: str):
    """Raise `InvalidRequest` for a password that nobody may set."""
    if fault := passwords.fault(password, username):
        raise InvalidRequest(errors=[make_error(pointer, "password", fault)])


def create_operator(tx: Cursor, clock: Clock, username: str, role: str, password_hash: str) -> Answer:
    """Add an operator; raises `UsernameTaken`."""
    # Locks: none but the new row.
    now = clock()
    row = {"username": username, "role": role, "password_hash": password_hash, "created_at": now, "updated_at": now}
    operator_id = operator_store.insert_operator(tx, row)
    row |= {"active": True, "token_version": 1, "last_login_at": None}
    return _answer(201, {**row, "id": operator_id})


def get_operator(tx: Cursor, username: str) -> Row:
    """Return an operator's row; raises `OperatorNotFound`."""
    return _named(operator_store.select_operator(tx, username), username)


def update_operator(
    tx: Cursor, clock: Clock, caller: Caller, username: str, changes: dict[str, Any], if_match: str | None
) -> Answer:
    """Change role, active or password_hash, and end the operator's tokens unless nothing differs.

    Raises `OperatorNotFound`, `PreconditionFailed`, `OwnAccount`, `LastAdmin`.
    """
    # Locks: all active admins by id, operator.
    admins = operator_store.lock_active_admins(tx)
    old = _lock(tx, username, if_match)
    row: Row = {**old, **changes}
    if old["username"] == caller.name and (row["role"], row["active"]) != (old["role"], old["active"]):
        raise OwnAccount()
    # Two admins who demote each other: the second one waits here, and is the last then.
    if [admin["id"] for admin in admins] == [row["id"]] and not (row["role"] == "admin" and row["active"]):
        raise LastAdmin()
    if row == old:
        return _answer(200, old)
    return _answer(200, end_tokens(tx, clock, row))


def revoke_tokens(tx: Cursor, clock: Clock, username: str) -> Answer:
    """End all tokens that an operator has; raises `OperatorNotFound`."""
    # Locks: (idempotency key,) operator.
    row = end_tokens(tx, clock, _lock(tx, username, None))
    return Answer(204, b"", "operator", row["id"])


def set_password(tx: Cursor, clock: Clock, username: str, old_hash: str, password_hash: str):
    """Replace an operator's password and end its tokens.

    Raises `InvalidCredentials` if the password that was checked, `old_hash`, has been replaced meanwhile.
    """
    # Locks: operator.
    row = _lock(tx, username, None)
    if row["password_hash"] != old_hash:
        raise InvalidCredentials()
    end_tokens(tx, clock, {**row, "password_hash": password_hash})


def _named(row, username) -> Row:
    # To the collation é is e, and what can't be seen is nothing. A path may have both.
    if row is None or row["username"].lower() != username.lower():
        raise OperatorNotFound()
    return row


def _lock(tx, username, if_match) -> Row:
    row = _named(operator_store.lock_operator(tx, username), username)
    conditional.require_match(if_match, conditional.entity_tag(row["token_version"]))
    return row


def end_tokens(tx: Cursor, clock: Clock, row: Row) -> Row:
    """Write a locked row that was changed, with the version that ends all tokens of before; return it."""
    row = {**row, "token_version": row["token_version"] + 1, "updated_at": clock()}
    operator_store.update_operator(tx, row)
    return row


def _answer(status, row: Row) -> Answer:
    etag = conditional.entity_tag(row["token_version"])
    return Answer(status, strict_json.dumps(operator_to_json(row)), "operator", row["id"], etag)
