-- Demo data; may run any number of times. A row that is there already stays as it is,
-- so a demo's stock and a renamed customer survive.

INSERT INTO customers (name, email, phone, created_at, updated_at)
VALUES ('ACME', 'ops@acme.example', '+1-555-0100', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
       ('Globex', 'purchasing@globex.example', '+1-555-0199', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
       ('Initech', 'orders@initech.example', NULL, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))
    ON DUPLICATE KEY UPDATE customers.id = customers.id;

INSERT INTO products (sku, name, price_cents, stock, created_at, updated_at)
VALUES ('SKU-001', 'Laptop Pro', 129900, 10, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
       ('SKU-002', 'Monitor 27', 99900, 5, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
       ('SKU-003', 'Docking Station', 24900, 25, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
       ('SKU-004', 'Keyboard', 8900, 100, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
       ('SKU-005', 'USB-C Cable 2 m', 1900, 500, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))
    ON DUPLICATE KEY UPDATE products.id = products.id;

-- What search finds them by (common/search.py): every three neighbouring characters and
-- the three after them, fewer at a text's end.

INSERT INTO customer_search (c1, c2, c3, id, rest)
WITH RECURSIVE positions AS (SELECT 1 AS start UNION ALL SELECT start + 1 FROM positions WHERE start < 254),
     texts AS (SELECT id, name AS text FROM customers WHERE deleted_at IS NULL
               UNION ALL SELECT id, email FROM customers WHERE deleted_at IS NULL
               UNION ALL SELECT id, phone FROM customers WHERE deleted_at IS NULL)
SELECT SUBSTR(text, start, 1), SUBSTR(text, start + 1, 1), SUBSTR(text, start + 2, 1), id, SUBSTR(text, start + 3, 3)
  FROM texts JOIN positions ON start <= CHAR_LENGTH(text)
    ON DUPLICATE KEY UPDATE customer_search.id = customer_search.id;

INSERT INTO product_search (c1, c2, c3, id, rest)
WITH RECURSIVE positions AS (SELECT 1 AS start UNION ALL SELECT start + 1 FROM positions WHERE start < 200),
     texts AS (SELECT id, sku AS text FROM products UNION ALL SELECT id, name FROM products)
SELECT SUBSTR(text, start, 1), SUBSTR(text, start + 1, 1), SUBSTR(text, start + 2, 1), id, SUBSTR(text, start + 3, 3)
  FROM texts JOIN positions ON start <= CHAR_LENGTH(text)
    ON DUPLICATE KEY UPDATE product_search.id = product_search.id;

-- Their beginning, for whoever asks what happened to them (common/events.py). Before make adopt has run, a product may
-- have been here for long; that finds its stock, too.

INSERT INTO events (type, subject_type, subject_id, subject_version, actor, request_id, created_at)
SELECT 'customer.created', 'customer', id, version, 'system', 'seed', created_at
  FROM customers
 WHERE email IN ('ops@acme.example', 'purchasing@globex.example', 'orders@initech.example')
   AND NOT EXISTS (SELECT 1 FROM events WHERE subject_type = 'customer' AND subject_id = customers.id);

INSERT INTO events (type, subject_type, subject_id, subject_version, stock_delta, data, actor, request_id, created_at)
SELECT type, 'product', id, version, IF(type = 'product.stock_changed', stock, NULL),
       IF(type = 'product.stock_changed', JSON_OBJECT('cause', 'opening', 'stock', stock),
          JSON_OBJECT('sku', sku, 'price_cents', price_cents, 'active', active = TRUE)), 'system', 'seed', created_at
  FROM products
  JOIN (SELECT 'product.created' AS type UNION ALL SELECT 'product.stock_changed') AS types
 WHERE sku IN ('SKU-001', 'SKU-002', 'SKU-003', 'SKU-004', 'SKU-005')
   AND NOT EXISTS (SELECT 1 FROM events WHERE subject_type = 'product' AND subject_id = products.id)
   AND EXISTS (SELECT 1 FROM event_sequence WHERE adopted_at IS NOT NULL)
 ORDER BY id, type;
