-- Rows for bench/size.py and the tests, as many as @customers, @products and @orders say. The first word of a statement's
-- comment says how it is run (bench/fill.py): once, or in parts of that table's rows, @first and @part of them.
--
-- The same numbers give the same rows on every server: what looks drawn by lot are digits of a SHA-256 of the
-- row's id. A word of a list is drawn by three hexadecimal digits, and the earlier it stands in its list, the more of
-- the 4096 places are its own: "Smith" is in some 190,000 of a million customers, the last towns in some 200.

-- once: 0 to 99,999, for all that has to be counted out
CREATE TABLE bench_numbers (i INT UNSIGNED NOT NULL PRIMARY KEY);

-- once
INSERT INTO bench_numbers
WITH RECURSIVE digit AS (SELECT 0 AS d UNION ALL SELECT d + 1 FROM digit WHERE d < 9)
SELECT 10000 * a.d + 1000 * b.d + 100 * c.d + 10 * e.d + f.d AS i
  FROM digit AS a, digit AS b, digit AS c, digit AS e, digit AS f
 ORDER BY i;

-- once
CREATE TABLE bench_lists (kind VARCHAR(10) NOT NULL, place INT UNSIGNED NOT NULL, word VARCHAR(40) NOT NULL,
                          PRIMARY KEY (kind, place))
       DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

-- once
INSERT INTO bench_lists (kind, place, word)
SELECT list.kind, words.place, words.word
  FROM (VALUES
        ROW('surname', '["Smith", "Müller", "García", "Nguyen", "Brown", "Schmidt", "Martin", "Rossi", "Novak", "Kowalski",
                         "Andersson", "Jensen", "de Vries", "Silva", "Yılmaz", "Papadopoulos", "Horváth", "Ivanov", "Tanaka",
                         "Kim", "Wang", "Zhang", "Singh", "Patel", "Khan", "Cohen", "Okafor", "Hernández", "Dubois", "Lefèvre",
                         "Köhler", "Lindqvist", "Virtanen", "Byrne", "O''Brien", "MacDonald", "Esposito", "Janssens", "Wójcik",
                         "Dvořák", "Jovanović", "Kuznetsov", "Quispe", "Xu", "Chowdhury", "Zuckerbäcker"]'),
        ROW('trade', '["Trading", "Tools", "Logistics", "Hydraulics", "Electric", "Hardware", "Supplies", "Machinery",
                       "Packaging", "Foods", "Textiles", "Plastics", "Steel", "Timber", "Motors", "Bearings", "Pumps",
                       "Lighting", "Paper", "Glass", "Optics", "Software", "Marine", "Quarry", "Brewery"]'),
        ROW('form', '["GmbH", "Ltd", "Inc.", "S.A.", "B.V.", "AB", "Sp. z o.o.", "S.r.l.", "KG", "Oy", "& Sons", "& Co."]'),
        ROW('role', '["info", "orders", "purchasing", "office", "accounts", "sales", "procurement", "warehouse", "einkauf",
                      "compras", "zakupy", "hello"]'),
        ROW('opening', '["North", "Green", "Kings", "Wal", "Ash", "Brook", "Stone", "Clif", "Har", "Lang", "Mil", "New", "Oak",
                         "Pem", "Red", "Sand", "Thorn", "Up", "West", "Whit", "Birk", "Cran", "Dun", "Elm", "Fern", "Glen",
                         "Hazel", "Ivy", "Kel", "Lud", "Mar", "Nor", "Quar", "Rush", "Sel", "Tam", "Usk", "Wex", "Yar", "Zen"]'),
        ROW('ending', '["field", "ton", "ham", "ford", "bury", "wick", "dale", "port", "mouth", "bridge", "ley", "worth",
                        "stead", "combe", "haven", "minster", "pool", "gate", "hurst", "mere", "shaw", "thorpe", "toft", "xing"]'),
        ROW('quality', '["Standard", "Compact", "Heavy", "Stainless", "Industrial", "Flexible", "Insulated", "Wireless",
                         "Portable", "Magnetic", "Hydraulic", "Pneumatic", "Digital", "Refurbished", "Antistatic", "Explosion-proof"]'),
        ROW('thing', '["Cable", "Screw", "Bearing", "Valve", "Pump", "Motor", "Sensor", "Switch", "Filter", "Gasket", "Hose",
                       "Clamp", "Bracket", "Hinge", "Lamp", "Monitor", "Keyboard", "Docking Station", "Drill", "Wrench",
                       "Ladder", "Pallet", "Carton", "Label", "Glove", "Helmet", "Goggles", "Café table", "Quartz crucible"]'),
        ROW('size', '["5 mm", "8 mm", "10 mm", "12 mm", "20 mm", "1 m", "2 m", "5 m", "10 m", "24 V", "230 V", "400 V", "500 ml",
                      "1 l", "5 l", "XS", "XXL", "27\\"", "1/2\\"", "100%"]')
       ) AS list (kind, words),
       JSON_TABLE(list.words, '$[*]' COLUMNS (place FOR ORDINALITY, word VARCHAR(40) PATH '$')) AS words;

-- once: 960 towns
INSERT INTO bench_lists (kind, place, word)
SELECT 'town', ROW_NUMBER() OVER (ORDER BY SHA2(CONCAT(opening.word, ending.word), 256)), CONCAT(opening.word, ending.word)
  FROM bench_lists AS opening
  JOIN bench_lists AS ending
 WHERE opening.kind = 'opening' AND ending.kind = 'ending';

-- once
CREATE TABLE bench_words (kind VARCHAR(10) NOT NULL, digits CHAR(3) NOT NULL, word VARCHAR(40) NOT NULL,
                          PRIMARY KEY (kind, digits))
       DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

-- once
INSERT INTO bench_words (kind, digits, word)
WITH lengths AS (SELECT kind, COUNT(*) AS words FROM bench_lists GROUP BY kind)
SELECT lengths.kind, LPAD(LOWER(HEX(i)), 3, '0'), list.word
  FROM bench_numbers
  JOIN lengths
  JOIN bench_lists AS list ON list.kind = lengths.kind AND list.place = 1 + FLOOR(POW(i / 4096, 3) * words)
 WHERE i < 4096;

-- customers: one of 64 is deleted, one of 8 has no phone
INSERT INTO customers (id, name, email, phone, created_at, updated_at, deleted_at)
WITH drawn AS (SELECT @first + i AS id, SHA2(CONCAT('customer ', @first + i), 256) AS h FROM bench_numbers WHERE i < @part),
     dated AS (SELECT id, h, LPAD(CONV(SUBSTR(h, 19, 8), 16, 10) % 1000000000, 9, '0') AS number,
                      TIMESTAMP '2023-01-01 08:00:00' + INTERVAL id * 63000000 DIV @customers SECOND AS created_at
                 FROM drawn)
SELECT id,
       CASE WHEN SUBSTR(h, 16, 1) < '9' THEN CONCAT(surname.word, ' ', trade.word, ' ', form.word)
            WHEN SUBSTR(h, 16, 1) < 'd' THEN CONCAT(town.word, ' ', trade.word, ' ', form.word)
            ELSE CONCAT(surname.word, ' & ', town.word, ' ', trade.word) END,
       CONCAT(role.word, '@', LOWER(town.word), '-', LOWER(CONV(id, 10, 36)), '.example'),
       CASE SUBSTR(h, 17, 1)
            WHEN '0' THEN NULL WHEN '1' THEN NULL
            WHEN '2' THEN CONCAT('+33 1 ', SUBSTR(number, 1, 2), ' ', SUBSTR(number, 3, 2), ' ', SUBSTR(number, 5, 2), ' ', SUBSTR(number, 7, 2))
            WHEN '3' THEN CONCAT('+44 20 7', SUBSTR(number, 1, 3), ' ', SUBSTR(number, 4, 4))
            WHEN '4' THEN CONCAT('(0', SUBSTR(number, 1, 2), ') ', SUBSTR(number, 3, 7))
            ELSE CONCAT('+1-', SUBSTR(number, 1, 3), '-555-', SUBSTR(number, 4, 4)) END,
       created_at, created_at, IF(SUBSTR(h, 31, 2) < '04', created_at + INTERVAL 30 DAY, NULL)
  FROM dated
  JOIN bench_words AS surname ON surname.kind = 'surname' AND surname.digits = SUBSTR(h, 1, 3)
  JOIN bench_words AS trade ON trade.kind = 'trade' AND trade.digits = SUBSTR(h, 4, 3)
  JOIN bench_words AS town ON town.kind = 'town' AND town.digits = SUBSTR(h, 7, 3)
  JOIN bench_words AS form ON form.kind = 'form' AND form.digits = SUBSTR(h, 10, 3)
  JOIN bench_words AS role ON role.kind = 'role' AND role.digits = SUBSTR(h, 13, 3)
 ORDER BY id;

-- products: one of 32 is inactive; stock for any number of orders
INSERT INTO products (id, sku, name, price_cents, stock, active, created_at, updated_at)
WITH drawn AS (SELECT @first + i AS id, SHA2(CONCAT('product ', @first + i), 256) AS h FROM bench_numbers WHERE i < @part)
SELECT id, CONCAT(UPPER(LEFT(thing.word, 2)), '-', LPAD(id, 6, '0'), '-', UPPER(SUBSTR(h, 32, 1))),
       CONCAT(quality.word, ' ', thing.word, ' ', size.word),
       100 + CONV(SUBSTR(h, 10, 4), 16, 10), 1000000000, SUBSTR(h, 14, 2) >= '08',
       TIMESTAMP '2023-01-01 08:00:00', TIMESTAMP '2023-01-01 08:00:00'
  FROM drawn
  JOIN bench_words AS quality ON quality.kind = 'quality' AND quality.digits = SUBSTR(h, 1, 3)
  JOIN bench_words AS thing ON thing.kind = 'thing' AND thing.digits = SUBSTR(h, 4, 3)
  JOIN bench_words AS size ON size.kind = 'size' AND size.digits = SUBSTR(h, 7, 3)
 ORDER BY id;

-- customers: what common/search.py writes with each row. Sorted as the table is.
INSERT IGNORE INTO customer_search (c1, c2, c3, id, rest)
WITH texts AS (SELECT id, name AS text FROM customers WHERE id BETWEEN @first AND @first + @part - 1 AND deleted_at IS NULL
               UNION ALL
               SELECT id, email FROM customers WHERE id BETWEEN @first AND @first + @part - 1 AND deleted_at IS NULL
               UNION ALL
               SELECT id, phone FROM customers WHERE id BETWEEN @first AND @first + @part - 1 AND deleted_at IS NULL)
SELECT SUBSTR(text, i + 1, 1) AS c1, SUBSTR(text, i + 2, 1) AS c2, SUBSTR(text, i + 3, 1) AS c3, id, SUBSTR(text, i + 4, 3)
  FROM texts STRAIGHT_JOIN bench_numbers ON i < CHAR_LENGTH(text)
 ORDER BY c1, c2, c3, id;

-- products: the same
INSERT IGNORE INTO product_search (c1, c2, c3, id, rest)
WITH texts AS (SELECT id, sku AS text FROM products WHERE id BETWEEN @first AND @first + @part - 1
               UNION ALL
               SELECT id, name FROM products WHERE id BETWEEN @first AND @first + @part - 1)
SELECT SUBSTR(text, i + 1, 1) AS c1, SUBSTR(text, i + 2, 1) AS c2, SUBSTR(text, i + 3, 1) AS c3, id, SUBSTR(text, i + 4, 3)
  FROM texts STRAIGHT_JOIN bench_numbers ON i < CHAR_LENGTH(text)
 ORDER BY c1, c2, c3, id;

-- orders: one to five lines each. Before their orders, whose totals they are (no foreign keys are checked here).
-- The step from line to line is at most a fifth of the products, so that no product comes twice.
INSERT INTO order_items (order_id, product_id, line_no, sku, name, qty, unit_price_cents, subtotal_cents)
WITH drawn AS (SELECT @first + i AS order_id, SHA2(CONCAT('lines of ', @first + i), 256) AS h FROM bench_numbers WHERE i < @part),
     line AS (SELECT order_id, i + 1 AS line_no, 1 + CONV(SUBSTR(h, 14 + 2 * i, 2), 16, 10) % 10 AS qty,
                     CAST(1 + (FLOOR(POW(CONV(SUBSTR(h, 1, 6), 16, 10) / 16777216, 2) * @products)
                               + i * (1 + CONV(SUBSTR(h, 7, 6), 16, 10) % (@products DIV 5))) % @products AS UNSIGNED) AS product_id
                FROM drawn JOIN bench_numbers ON i <= CONV(SUBSTR(h, 13, 1), 16, 10) % 5)
SELECT order_id, product_id, line_no, sku, name, qty, price_cents, qty * price_cents
  FROM line STRAIGHT_JOIN products AS p ON p.id = line.product_id
 ORDER BY order_id, product_id;

-- orders: over two years, a little out of order. Three of 16 are customer 1's, a reseller; most others' customers
-- have one or none. Half of those that are not canceled have a reference; the canceled all have the same one, which
-- makes 10,000 pages of it.
INSERT INTO orders (id, customer_id, customer_name, customer_email, customer_phone, customer_reference, status,
                    total_cents, version, created_at, confirmed_at, canceled_at)
WITH drawn AS (SELECT @first + i AS id, SHA2(CONCAT('order ', @first + i), 256) AS h FROM bench_numbers WHERE i < @part),
     head AS (SELECT id, h,
                     CAST(IF(SUBSTR(h, 1, 1) < '3', 1,
                             1 + FLOOR(POW(CONV(SUBSTR(h, 2, 6), 16, 10) / 16777216, 4) * @customers)) AS UNSIGNED) AS customer_id,
                     CASE WHEN SUBSTR(h, 8, 1) < '2' THEN 'CREATED'
                          WHEN SUBSTR(h, 8, 1) < '4' THEN 'CANCELED' ELSE 'CONFIRMED' END AS status,
                     TIMESTAMP '2024-01-01 00:00:00.000000'
                     + INTERVAL id * 63000000 DIV @orders + CONV(SUBSTR(h, 9, 4), 16, 10) SECOND AS created_at
                FROM drawn),
     total AS (SELECT order_id, SUM(subtotal_cents) AS cents FROM order_items
                WHERE order_id BETWEEN @first AND @first + @part - 1 GROUP BY order_id)
SELECT head.id, customer_id, c.name, c.email, c.phone,
       CASE WHEN status = 'CANCELED' THEN 'PO-0' WHEN SUBSTR(h, 13, 1) < '8' THEN CONCAT('PO-', head.id) END, status,
       cents, IF(status = 'CREATED', 1, 2), head.created_at,
       IF(status = 'CONFIRMED', head.created_at + INTERVAL 90 SECOND, NULL),
       IF(status = 'CANCELED', head.created_at + INTERVAL 300 SECOND, NULL)
  FROM total
  JOIN head ON head.id = total.order_id
  JOIN customers AS c ON c.id = head.customer_id
 ORDER BY head.id;

-- once: as the version before left it; sql/adopt.py makes events of what follows
UPDATE event_sequence SET adopted_at = NULL;

-- orders
INSERT INTO order_events (order_id, type, actor, reason, request_id, created_at)
WITH part AS (SELECT * FROM orders WHERE id BETWEEN @first AND @first + @part - 1)
SELECT id, 'created', 'demo', NULL, LEFT(SHA2(CONCAT('created ', id), 256), 32), created_at FROM part
 UNION ALL
SELECT id, LOWER(status), IF(status = 'CANCELED', 'system', 'demo'), IF(status = 'CANCELED', 'expired', NULL),
       LEFT(SHA2(CONCAT('ended ', id), 256), 32), COALESCE(confirmed_at, canceled_at) FROM part WHERE status <> 'CREATED';

-- once: the optimizer's numbers
ANALYZE TABLE customers, products, customer_search, product_search, orders, order_items, order_events;

-- once
DROP TABLE bench_lists, bench_words, bench_numbers;
