-- migrate:up

-- One table tells what happened to orders, products and customers (common/events.py). The version before may run on: it
-- writes order_events, which stays for it, and moves stock without an event. `make adopt`, once none of it runs, brings
-- all of that into the new table (sql/adopt.py).

CREATE TABLE IF NOT EXISTS events (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    -- given by whoever reads the feed, not by the writer (orders/feed.py): ids become visible out of order
    sequence        BIGINT UNSIGNED NULL COMMENT 'Its place in the feed; NULL until somebody reads it',
    type            VARCHAR(32)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject_type    VARCHAR(16)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject_id      BIGINT UNSIGNED NOT NULL,
    subject_version BIGINT UNSIGNED NOT NULL COMMENT 'The version of the row after it',
    order_id        BIGINT UNSIGNED NULL COMMENT 'Of a movement of stock: the order that moved it',
    stock_delta     BIGINT          NULL COMMENT 'Of a movement of stock: pieces; all of a product add up to its stock',
    data            JSON            NULL COMMENT 'What else the contract says of its type',
    actor           VARCHAR(64)     NOT NULL COMMENT 'An operator''s name, service or system',
    reason          VARCHAR(500)    NULL,
    request_id      VARCHAR(64)     NOT NULL,
    created_at      DATETIME(6)     NOT NULL,
    -- NULL is in no range of an index that begins with it: the index has just the events without a place
    is_unsequenced  BOOLEAN         GENERATED ALWAYS AS (IF(sequence IS NULL, TRUE, NULL)) VIRTUAL,
    PRIMARY KEY (id),
    CONSTRAINT uq_events_sequence UNIQUE (sequence),
    INDEX ix_events_unsequenced (is_unsequenced, id),
    INDEX ix_events_subject (subject_type, subject_id, id),
    INDEX ix_events_subject_sequence (subject_type, subject_id, sequence),
    CONSTRAINT ck_events_type CHECK (type IN ('order.created', 'order.confirmed', 'order.canceled',
                                              'product.created', 'product.updated', 'product.stock_changed',
                                              'customer.created', 'customer.updated', 'customer.deleted')),
    CONSTRAINT ck_events_subject CHECK (subject_type = SUBSTRING_INDEX(type, '.', 1)),
    CONSTRAINT ck_events_stock CHECK ((type = 'product.stock_changed') = (stock_delta IS NOT NULL))
) COMMENT 'Who did what to an order, a product or a customer, when and why'
  DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci
  -- What is adopted keeps its id or gets a lower one (sql/adopt.py), and stands before what happens from now on.
  AUTO_INCREMENT = 1000000000000;

CREATE TABLE IF NOT EXISTS event_sequence (
    one           TINYINT UNSIGNED NOT NULL,
    last_sequence BIGINT UNSIGNED  NOT NULL COMMENT 'The end of the feed',
    adopted_at    DATETIME(6)      NULL COMMENT 'NULL until what is older than the table events is in it',
    PRIMARY KEY (one),
    CONSTRAINT ck_event_sequence_one CHECK (one = 1)
) COMMENT 'One row, locked by whoever gives events their places' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

-- A database that nobody has used has nothing to adopt.

INSERT IGNORE INTO event_sequence (one, last_sequence, adopted_at)
VALUES (1, 0, IF(EXISTS (SELECT 1 FROM products) OR EXISTS (SELECT 1 FROM operators), NULL, UTC_TIMESTAMP(6)));

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
