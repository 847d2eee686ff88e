-- migrate:up

-- Operators are managed over REST, and log-ins are counted. The version before may run on: it knows none of this, and
-- its tokens count as those of token_version 1. The columns are added without touching a row.

-- MySQL has no ADD COLUMN IF NOT EXISTS, hence the prepared statement.

SET @alter = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = 'operators' AND column_name = 'token_version'),
    'DO 0',
    'ALTER TABLE operators
        ADD COLUMN token_version INT UNSIGNED NOT NULL DEFAULT 1 COMMENT ''Tokens with a lower one are refused'',
        ADD COLUMN updated_at DATETIME(6) NULL COMMENT ''NULL: not since it was added'',
        ADD COLUMN last_login_at DATETIME(6) NULL COMMENT ''NULL: never'',
        ALGORITHM = INSTANT');
PREPARE alter_operators FROM @alter;
EXECUTE alter_operators;

CREATE TABLE IF NOT EXISTS login_failures (
    kind       VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    bucket     BINARY(32)   NOT NULL COMMENT 'SHA-256 of what is counted',
    failures   INT UNSIGNED NOT NULL COMMENT 'Log-ins since started_at that were not right; 0 for known',
    started_at DATETIME(6)  NOT NULL COMMENT 'The first one of them; for known the last right log-in',
    PRIMARY KEY (kind, bucket),
    -- for whoever deletes what is old
    INDEX ix_login_failures_started (started_at),
    CONSTRAINT ck_login_failures_kind CHECK (kind IN ('address', 'known', 'name', 'pair'))
) COMMENT 'Log-ins by address, by name, by both; and from where a name has logged in' DEFAULT CHARACTER SET utf8mb4;

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
