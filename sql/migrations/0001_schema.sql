-- migrate:up

-- Every table: InnoDB, utf8mb4, times in UTC with microseconds. What must never be false
-- is a constraint with a name; the name is how the code recognises the refusal.
--
-- An interrupted file runs again from its top, here and in every other: what is there already is left alone.

CREATE TABLE IF NOT EXISTS operators (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    username      VARCHAR(64)     NOT NULL,
    -- argon2id with its parameters in the string; 97 characters today, room for stronger ones
    password_hash VARCHAR(255)    NOT NULL,
    role          VARCHAR(16)     NOT NULL,
    active        BOOLEAN         NOT NULL DEFAULT TRUE,
    created_at    DATETIME(6)     NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT uq_operators_username UNIQUE (username),
    CONSTRAINT ck_operators_role CHECK (role IN ('viewer', 'operator', 'admin')),
    -- the audit trail uses these two for callers that are no operator
    CONSTRAINT ck_operators_username_not_reserved CHECK (username NOT IN ('service', 'system'))
) COMMENT 'People who may log in' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS customers (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    name         VARCHAR(200)    NOT NULL,
    -- 254: the longest address that SMTP can carry (RFC 5321, errata 1690)
    email        VARCHAR(254)    NOT NULL,
    phone        VARCHAR(40)     NULL,
    version      BIGINT UNSIGNED NOT NULL DEFAULT 1 COMMENT 'The entity tag',
    created_at   DATETIME(6)     NOT NULL,
    updated_at   DATETIME(6)     NOT NULL,
    deleted_at   DATETIME(6)     NULL COMMENT 'Set by a soft delete; orders keep their customer',
    -- NULL for the deleted, and a unique index lets any number of NULLs stand side by side
    living_email VARCHAR(254)    GENERATED ALWAYS AS (IF(deleted_at IS NULL, email, NULL)) VIRTUAL,
    PRIMARY KEY (id),
    CONSTRAINT uq_customers_email UNIQUE (living_email)
) COMMENT 'Customers' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS products (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    sku         VARCHAR(64)     NOT NULL,
    name        VARCHAR(200)    NOT NULL,
    price_cents BIGINT          NOT NULL,
    stock       BIGINT          NOT NULL,
    active      BOOLEAN         NOT NULL DEFAULT TRUE COMMENT 'FALSE: no new orders',
    version     BIGINT UNSIGNED NOT NULL DEFAULT 1 COMMENT 'The entity tag; stock counts as a change',
    created_at  DATETIME(6)     NOT NULL,
    updated_at  DATETIME(6)     NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT uq_products_sku UNIQUE (sku),
    -- a million in any currency with cents, and 100 lines * 100,000 pieces of it stay below 2^53
    CONSTRAINT ck_products_price CHECK (price_cents BETWEEN 0 AND 100000000),
    CONSTRAINT ck_products_stock_not_negative CHECK (stock >= 0)
) COMMENT 'Products and their stock' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

-- Search (common/search.py): an entry for every three neighbouring characters of a row's
-- texts (fewer at a text's end), written with the row. Clustered by gram, then id: a search reads a range of it, in
-- id order. No foreign key, which would need a second index as large as the table.

CREATE TABLE IF NOT EXISTS customer_grams (
    gram VARCHAR(3)      NOT NULL,
    id   BIGINT UNSIGNED NOT NULL COMMENT 'A living customer',
    PRIMARY KEY (gram, id)
) COMMENT 'Trigrams of customers: name, email, phone' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS product_grams (
    gram VARCHAR(3)      NOT NULL,
    id   BIGINT UNSIGNED NOT NULL COMMENT 'A product',
    PRIMARY KEY (gram, id)
) COMMENT 'Trigrams of products: sku, name' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS orders (
    id                 BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    customer_id        BIGINT UNSIGNED NOT NULL,
    -- the customer as it was when the order was made
    customer_name      VARCHAR(200)    NOT NULL,
    customer_email     VARCHAR(254)    NOT NULL,
    customer_phone     VARCHAR(40)     NULL,
    -- compared byte by byte: the customer's numbers are not ours to judge
    customer_reference VARCHAR(64)     COLLATE utf8mb4_0900_bin NULL COMMENT 'The customer''s own number for it',
    status             VARCHAR(16)     NOT NULL,
    total_cents        BIGINT          NOT NULL,
    version            BIGINT UNSIGNED NOT NULL DEFAULT 1,
    created_at         DATETIME(6)     NOT NULL,
    confirmed_at       DATETIME(6)     NULL,
    canceled_at        DATETIME(6)     NULL,
    expires_at         DATETIME(6)     NULL COMMENT 'When an unconfirmed order gives its stock back; NULL: never',
    -- a canceled order gives its reference free, so that the customer can order again
    living_reference   VARCHAR(64)     COLLATE utf8mb4_0900_bin
                                       GENERATED ALWAYS AS (IF(status = 'CANCELED', NULL, customer_reference)) VIRTUAL,
    PRIMARY KEY (id),
    CONSTRAINT fk_orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id),
    -- In this order: with customer_id first, MySQL 9.7 takes this index for the foreign key,
    -- and checks no customer of an order whose reference is NULL.
    CONSTRAINT uq_orders_reference UNIQUE (living_reference, customer_id),
    CONSTRAINT ck_orders_status CHECK (status IN ('CREATED', 'CONFIRMED', 'CANCELED')),
    CONSTRAINT ck_orders_total CHECK (total_cents >= 0),
    CONSTRAINT ck_orders_confirmed_at CHECK (status <> 'CONFIRMED' OR confirmed_at IS NOT NULL),
    CONSTRAINT ck_orders_canceled_at CHECK ((status = 'CANCELED') = (canceled_at IS NOT NULL)),
    -- Lists are newest first; InnoDB adds the id to each of these, so they also break ties.
    INDEX ix_orders_created (created_at),
    INDEX ix_orders_status_created (status, created_at),
    INDEX ix_orders_customer_created (customer_id, created_at),
    INDEX ix_orders_customer_status_created (customer_id, status, created_at)
) COMMENT 'Orders' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS order_items (
    order_id         BIGINT UNSIGNED   NOT NULL,
    product_id       BIGINT UNSIGNED   NOT NULL,
    line_no          SMALLINT UNSIGNED NOT NULL COMMENT 'The order in which the lines were sent',
    -- the product as it was when the order was made
    sku              VARCHAR(64)       NOT NULL,
    name             VARCHAR(200)      NOT NULL,
    qty              BIGINT            NOT NULL,
    unit_price_cents BIGINT            NOT NULL,
    subtotal_cents   BIGINT            NOT NULL,
    -- lines that name one product twice are merged, so the pair is unique
    PRIMARY KEY (order_id, product_id),
    INDEX ix_order_items_product (product_id),
    CONSTRAINT fk_order_items_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT fk_order_items_product FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT ck_order_items_qty_positive CHECK (qty > 0),
    CONSTRAINT ck_order_items_price CHECK (unit_price_cents >= 0),
    CONSTRAINT ck_order_items_subtotal CHECK (subtotal_cents = qty * unit_price_cents)
) COMMENT 'Lines of orders' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS order_events (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    order_id   BIGINT UNSIGNED NOT NULL,
    type       VARCHAR(16)     NOT NULL,
    actor      VARCHAR(64)     NOT NULL COMMENT 'An operator''s name, service or system',
    reason     VARCHAR(500)    NULL,
    request_id VARCHAR(64)     NOT NULL,
    created_at DATETIME(6)     NOT NULL,
    PRIMARY KEY (id),
    INDEX ix_order_events_order (order_id),
    CONSTRAINT fk_order_events_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT ck_order_events_type CHECK (type IN ('created', 'confirmed', 'canceled'))
) COMMENT 'Who did what to an order, when and why' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS idempotency_keys (
    -- scheme and operator; identity is exact to the byte, hence ascii_bin
    caller          VARCHAR(80)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    operation       VARCHAR(40)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    idempotency_key VARCHAR(255)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    fingerprint     BINARY(32)        NOT NULL COMMENT 'SHA-256 of method, path and body',
    -- NULL only while the first request runs: the row commits together with its answer
    target_type     VARCHAR(16)       NULL,
    target_id       BIGINT UNSIGNED   NULL,
    status          SMALLINT UNSIGNED NULL,
    -- an order of 100 lines with 200 four-byte characters each is past a BLOB's 64 KiB
    response_body   MEDIUMBLOB        NULL,
    created_at      DATETIME(6)       NOT NULL,
    expires_at      DATETIME(6)       NOT NULL,
    PRIMARY KEY (caller, operation, idempotency_key),
    INDEX ix_idempotency_keys_expires (expires_at)
) COMMENT 'Answers kept for retries' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS idempotency_slots (
    slot SMALLINT UNSIGNED NOT NULL,
    PRIMARY KEY (slot)
) COMMENT 'What requests with one key queue at, chosen by its hash; the rows never change';

-- 1,000 rows: as many as a recursive query may make unless told otherwise
INSERT IGNORE INTO idempotency_slots (slot)
WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < 999)
SELECT number FROM numbers;

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
