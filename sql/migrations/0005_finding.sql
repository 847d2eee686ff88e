-- migrate:up

-- Orders are found by the customer's reference, products by whether they are sold, in the order of their lists. Each
-- ALTER is done as a whole or not at all, and in place: orders and changes go on meanwhile.
--
-- The reference comes first: see uq_orders_reference in 0001_schema.sql.

-- MySQL has no ADD INDEX IF NOT EXISTS, hence the prepared statements.

SET @alter = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
             WHERE table_schema = DATABASE() AND table_name = 'orders' AND index_name = 'ix_orders_reference_created'),
    'DO 0',
    'ALTER TABLE orders
        ADD INDEX ix_orders_reference_created (customer_reference, created_at),
        ADD INDEX ix_orders_reference_customer_created (customer_reference, customer_id, created_at),
        ALGORITHM = INPLACE, LOCK = NONE');
PREPARE alter_orders FROM @alter;
EXECUTE alter_orders;

SET @alter = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
             WHERE table_schema = DATABASE() AND table_name = 'products' AND index_name = 'ix_products_active'),
    'DO 0',
    'ALTER TABLE products ADD INDEX ix_products_active (active), ALGORITHM = INPLACE, LOCK = NONE');
PREPARE alter_products FROM @alter;
EXECUTE alter_products;

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
