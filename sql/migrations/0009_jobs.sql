-- migrate:up

-- Unconfirmed orders expire (orders/jobs.py). The version before may run on: it cancels none.

-- MySQL has no ADD INDEX IF NOT EXISTS, hence the prepared statement. Orders go on meanwhile.

SET @alter = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
             WHERE table_schema = DATABASE() AND table_name = 'orders' AND index_name = 'ix_orders_expiry'),
    'DO 0',
    'ALTER TABLE orders ADD INDEX ix_orders_expiry (status, expires_at), ALGORITHM = INPLACE, LOCK = NONE');

PREPARE alter_orders FROM @alter;

EXECUTE alter_orders;

-- Until today nothing expired, whatever expires_at said. What is overdue gets once more the time that it had, or the
-- first pass would cancel orders that have been waited for since.

UPDATE orders
   SET expires_at = UTC_TIMESTAMP(6) + INTERVAL TIMESTAMPDIFF(MICROSECOND, created_at, expires_at) MICROSECOND
 WHERE status = 'CREATED' AND expires_at <= UTC_TIMESTAMP(6);

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
