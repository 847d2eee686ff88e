-- migrate:up

-- Each search entry gets the three characters after its own three (fewer at a text's end). At a million customers
-- even the rarest three characters of a text may have tens of thousands of entries, and the row of each was fetched
-- for LIKE to decide: 0.1 to 4 s. Six characters leave few, and passing over the others costs 0.2 µs each.
--
-- The version before may run on. What it writes gets the default, which search takes for "may be"; what it finds may
-- stand twice on its page, where a text has the same three characters twice.

-- MySQL has no ADD COLUMN IF NOT EXISTS, hence the prepared statements. Each ALTER is done as a whole or not at all.

SET @alter = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = 'customer_grams' AND column_name = 'rest'),
    'DO 0',
    'ALTER TABLE customer_grams
        ADD COLUMN rest VARCHAR(4) NOT NULL DEFAULT ''none'' COMMENT ''Up to 3 characters after the gram; none: not known'',
        DROP PRIMARY KEY,
        ADD PRIMARY KEY (gram, id, rest)');
PREPARE alter_grams FROM @alter;
EXECUTE alter_grams;

SET @alter = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = 'product_grams' AND column_name = 'rest'),
    'DO 0',
    'ALTER TABLE product_grams
        ADD COLUMN rest VARCHAR(4) NOT NULL DEFAULT ''none'' COMMENT ''Up to 3 characters after the gram; none: not known'',
        DROP PRIMARY KEY,
        ADD PRIMARY KEY (gram, id, rest)');
PREPARE alter_grams FROM @alter;
EXECUTE alter_grams;

-- migrate:down

-- dbmate wants this block; a mistake is mended by the next migration.
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'migrations are forward-only';
