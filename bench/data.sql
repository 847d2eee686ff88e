-- What bench/load.py measures on: 1,000 customers, 1,000 products and 1,000 confirmed orders of
-- three lines, with the ids 1 to 1,000. A new schema's tables, as the migrations made them.

SET SESSION time_zone = '+00:00';

INSERT INTO customers (id, name, email, phone, created_at, updated_at)
SELECT slot + 1, CONCAT('Customer ', slot + 1), CONCAT('customer-', slot + 1, '@bench.example'), '+1-555-0100',
       UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
  FROM idempotency_slots;

INSERT INTO products (id, sku, name, price_cents, stock, created_at, updated_at)
SELECT slot + 1, CONCAT('SKU-', slot + 1), CONCAT('Product ', slot + 1), 1000, 1000000000,
       UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
  FROM idempotency_slots;

INSERT INTO orders
       (id, customer_id, customer_name, customer_email, customer_phone,
        status, total_cents, version, created_at, confirmed_at)
SELECT c.id, c.id, c.name, c.email, c.phone, 'CONFIRMED', 3000, 2, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
  FROM customers AS c;

INSERT INTO order_items (order_id, product_id, line_no, sku, name, qty, unit_price_cents, subtotal_cents)
SELECT o.id, p.id, n.slot + 1, p.sku, p.name, 1, p.price_cents, p.price_cents
  FROM orders AS o
  JOIN idempotency_slots AS n ON n.slot < 3
  JOIN products AS p ON p.id = 1 + (o.id + n.slot) % 1000;
