-- migrate:up

-- The entity tag of the answer that a key keeps: a replayed PATCH or PUT has its ETag again. The version before may run
-- on: what it writes gets NULL. The column is added without touching a row.

-- MySQL has no ADD COLUMN IF NOT EXISTS, hence the prepared statement.

SET @alter = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = 'idempotency_keys' AND column_name = 'etag'),
    'DO 0',
    'ALTER TABLE idempotency_keys
        ADD COLUMN etag VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT ''NULL: the answer has none'',
        ALGORITHM = INSTANT');
PREPARE alter_keys FROM @alter;
EXECUTE alter_keys;

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
