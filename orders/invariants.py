"""What must hold of all orders, lines, products and events together: each a statement that selects what breaks it.

The schema holds what concerns one row; this holds what concerns several. `python -m orders.jobs verify` asks.
"""

# invariant -> (what it says, its statement); each selects the ids of what breaks it, as `id`.
INVARIANTS = {
    "total": (
        "an order has lines, and its total is the sum of them",
        """
        SELECT o.id
          FROM orders AS o
          LEFT JOIN (SELECT order_id, SUM(subtotal_cents) AS cents FROM order_items GROUP BY order_id) AS sums
            ON sums.order_id = o.id
         WHERE cents IS NULL OR cents <> o.total_cents
        """,
    ),
    "life": (
        "an order's events are the steps to its status, and its version counts them",
        """
        SELECT o.id
          FROM orders AS o
          LEFT JOIN (SELECT subject_id, COUNT(*) AS steps, SUM(type = 'order.created') AS created,
                            SUM(type = 'order.confirmed') AS confirmed, SUM(type = 'order.canceled') AS canceled
                       FROM events
                      WHERE subject_type = 'order'
                      GROUP BY subject_id) AS life
            ON life.subject_id = o.id
         WHERE life.subject_id IS NULL OR o.version <> steps OR created <> 1
            OR confirmed <> (o.confirmed_at IS NOT NULL) OR canceled <> (o.status = 'CANCELED')
        """,
    ),
    "stock": (
        "a product's stock is the sum of its movements",
        """
        SELECT p.id
          FROM products AS p
          LEFT JOIN (SELECT subject_id, SUM(stock_delta) AS pieces FROM events
                      WHERE subject_type = 'product' GROUP BY subject_id) AS moved
            ON moved.subject_id = p.id
         WHERE p.stock <> COALESCE(pieces, 0)
        """,
    ),
    "holding": (
        "an order has taken from stock what its lines say, or nothing if it is canceled",
        """
        SELECT DISTINCT i.order_id AS id
          FROM order_items AS i
          JOIN orders AS o ON o.id = i.order_id
          LEFT JOIN (SELECT order_id, subject_id, SUM(stock_delta) AS pieces FROM events
                      WHERE subject_type = 'product' AND order_id IS NOT NULL GROUP BY order_id, subject_id) AS moved
            ON moved.order_id = i.order_id AND moved.subject_id = i.product_id
         WHERE COALESCE(pieces, 0) <> IF(o.status = 'CANCELED', 0, -i.qty)
        """,
    ),
    "expiry": (
        "no unconfirmed order is overdue for more than 15 minutes",
        """
        SELECT id
          FROM orders
         WHERE status = 'CREATED' AND expires_at < UTC_TIMESTAMP(6) - INTERVAL 15 MINUTE
        """,
    ),
}
