-- migrate:up

-- Search gets new tables, with a column for each character of a trigram (common/search.py says why). To the collation,
-- entries of the old ones were equal that LIKE takes for different, so that one of them was missing: in decomposed
-- Cyrillic a fifth of the rows weren't found.
--
-- The version before may run on: it reads and writes its own tables, customer_grams and product_grams, which stay for
-- it. What it writes from now on, the new version doesn't find until `make normalise` has run after the old one's end;
-- what the new version writes, the old one doesn't find. Entries of what the old version renames or deletes stay here,
-- and match nothing.

CREATE TABLE IF NOT EXISTS customer_search (
    c1   VARCHAR(1)      NOT NULL,
    c2   VARCHAR(1)      NOT NULL,
    c3   VARCHAR(1)      NOT NULL,
    id   BIGINT UNSIGNED NOT NULL COMMENT 'A living customer',
    -- byte by byte: no two rests are one, whatever they are to the collation
    rest VARCHAR(3)      COLLATE utf8mb4_0900_bin NOT NULL COMMENT 'Up to 3 characters after c3',
    PRIMARY KEY (c1, c2, c3, id, rest)
) COMMENT 'Search entries of customers: name, email, phone' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS product_search (
    c1   VARCHAR(1)      NOT NULL,
    c2   VARCHAR(1)      NOT NULL,
    c3   VARCHAR(1)      NOT NULL,
    id   BIGINT UNSIGNED NOT NULL COMMENT 'A product',
    -- byte by byte: no two rests are one, whatever they are to the collation
    rest VARCHAR(3)      COLLATE utf8mb4_0900_bin NOT NULL COMMENT 'Up to 3 characters after c3',
    PRIMARY KEY (c1, c2, c3, id, rest)
) COMMENT 'Search entries of products: sku, name' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

-- Sorted as the tables are, which is faster to insert; with memory to sort in, half the time. READ COMMITTED, so that
-- nobody waits: under MySQL's default isolation each row that is read here would be locked until the end, which is some
-- ten minutes for a million customers.

SET SESSION sort_buffer_size = 67108864;

SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

INSERT IGNORE INTO customer_search (c1, c2, c3, id, rest)
WITH RECURSIVE positions AS (SELECT 1 AS start UNION ALL SELECT start + 1 FROM positions WHERE start < 254),
     texts AS (SELECT id, name AS text FROM customers WHERE deleted_at IS NULL
               UNION ALL SELECT id, email FROM customers WHERE deleted_at IS NULL
               UNION ALL SELECT id, phone FROM customers WHERE deleted_at IS NULL)
SELECT SUBSTR(text, start, 1) AS c1, SUBSTR(text, start + 1, 1) AS c2, SUBSTR(text, start + 2, 1) AS c3, id,
       SUBSTR(text, start + 3, 3) AS rest
  FROM texts JOIN positions ON start <= CHAR_LENGTH(text)
 ORDER BY c1, c2, c3, id;

SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

INSERT IGNORE INTO product_search (c1, c2, c3, id, rest)
WITH RECURSIVE positions AS (SELECT 1 AS start UNION ALL SELECT start + 1 FROM positions WHERE start < 200),
     texts AS (SELECT id, sku AS text FROM products UNION ALL SELECT id, name FROM products)
SELECT SUBSTR(text, start, 1) AS c1, SUBSTR(text, start + 1, 1) AS c2, SUBSTR(text, start + 2, 1) AS c3, id,
       SUBSTR(text, start + 3, 3) AS rest
  FROM texts JOIN positions ON start <= CHAR_LENGTH(text)
 ORDER BY c1, c2, c3, id;

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
