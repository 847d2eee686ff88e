"""What each role may do: role -> table -> rights. `make migrate` grants it, sql/accounts makes the roles.

Roles, since a right is granted to a name and a host, and only an administrator knows from where an account comes in.
A table that is new gets a line for each role that needs it. A right that goes is not revoked by taking it out here: a
migration has to.

FOR UPDATE and ON DUPLICATE KEY UPDATE need UPDATE, FOR SHARE needs SELECT alone. A foreign key is checked without any
right on its table, but then its error doesn't name the constraint.

Nobody may DELETE orders, or DELETE events or UPDATE more of them than their number in the feed.
"""

GRANTS = {
    "b2b_customers": {
        "customers": "SELECT, INSERT, UPDATE",
        "customer_search": "SELECT, INSERT, UPDATE, DELETE",
        "operators": "SELECT, INSERT, UPDATE",
        "login_failures": "SELECT, INSERT, UPDATE, DELETE",
        "events": "SELECT, INSERT",
        "idempotency_keys": "SELECT, INSERT, DELETE",
        "idempotency_slots": "SELECT",
        "job_runs": "SELECT, INSERT, UPDATE",
        "schema_migrations": "SELECT",
    },
    "b2b_orders": {
        "products": "SELECT, INSERT, UPDATE",
        "product_search": "SELECT, INSERT, UPDATE, DELETE",
        "orders": "SELECT, INSERT, UPDATE",
        "order_items": "SELECT, INSERT",
        "events": "SELECT, INSERT, UPDATE (sequence)",
        "event_sequence": "SELECT, UPDATE",
        "order_events": "SELECT, INSERT",  # the version before writes it
        "customers": "SELECT (id, deleted_at)",  # whether a customer lives; the rest, Customers says
        "operators": "SELECT (username, role, active, token_version)",  # who may act
        "idempotency_keys": "SELECT, INSERT, DELETE",
        "idempotency_slots": "SELECT",
        "job_runs": "SELECT, INSERT, UPDATE",
        "schema_migrations": "SELECT",
    },
    # People and dashboards.
    "b2b_read": {
        "customers": "SELECT",
        # not the password's hash
        "operators": "SELECT (id, username, role, active, token_version, created_at, updated_at, last_login_at)",
        "products": "SELECT",
        "orders": "SELECT",
        "order_items": "SELECT",
        "events": "SELECT",
        "event_sequence": "SELECT",
        "order_events": "SELECT",
        "idempotency_keys": "SELECT",
        "job_runs": "SELECT",
        "schema_migrations": "SELECT",
    },
}
