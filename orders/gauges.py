"""What Orders asks the database for its `/metrics`; each statement reads an index, 10,000 entries at most."""

GAUGES = {
    "b2b_oldest_created_order_seconds": (
        "Age of the oldest unconfirmed order; 0 without one.",
        """
        SELECT COALESCE(TIMESTAMPDIFF(SECOND, MIN(created_at), UTC_TIMESTAMP(6)), 0) AS value
          FROM orders
         WHERE status = 'CREATED'
        """,
    ),
    "b2b_expired_orders_waiting": (
        "Unconfirmed orders that are overdue, for the job expire; counted to 10,000.",
        """
        SELECT COUNT(*) AS value
          FROM (SELECT 1 FROM orders
                 WHERE status = 'CREATED' AND expires_at <= UTC_TIMESTAMP(6) LIMIT 10000) AS overdue
        """,
    ),
    "b2b_unsequenced_events": (
        "Events that no reader of the feed has asked for yet; counted to 10,000.",
        """
        SELECT COUNT(*) AS value
          FROM (SELECT 1 FROM events WHERE is_unsequenced LIMIT 10000) AS unsequenced
        """,
    ),
}
