"""What Customers asks the database for its `/metrics`; the statement reads an index, 10,000 entries at most."""

GAUGES = {
    "b2b_idempotency_keys_expired_waiting": (
        "Idempotency keys that have expired, for the job purge; counted to 10,000.",
        """
        SELECT COUNT(*) AS value
          FROM (SELECT 1 FROM idempotency_keys WHERE expires_at <= UTC_TIMESTAMP(6) LIMIT 10000) AS expired
        """,
    ),
}
