-- migrate:up

-- When a job ran last, and when last with success, for /metrics. The version before writes none.

CREATE TABLE IF NOT EXISTS job_runs (
    job          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    finished_at  DATETIME(6) NOT NULL,
    succeeded_at DATETIME(6) NULL,
    PRIMARY KEY (job)
);

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
