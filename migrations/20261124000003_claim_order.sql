-- What a claim sorts by, as columns with one index: it reads the first row that may start, however long the
-- queue is. Before, every claim parsed the recipe of every queued run.

-- A timing run waits for training runs: it wants the machine alone. 1 or 0, as `file` says.
ALTER TABLE runs ADD COLUMN timing INTEGER GENERATED ALWAYS AS (ifnull(json_extract(file, '$.timing'), 0)) VIRTUAL;
-- 1 if it has an attempt: what was begun is finished first.
ALTER TABLE runs ADD COLUMN attempted INTEGER NOT NULL DEFAULT 0 CHECK (attempted IN (0, 1));
UPDATE runs SET attempted = 1 WHERE id IN (SELECT run_id FROM attempts);
CREATE TRIGGER attempts_begin AFTER INSERT ON attempts BEGIN
    UPDATE runs SET attempted = 1 WHERE id = NEW.run_id AND attempted = 0;
END;
CREATE TRIGGER attempts_withdrawn AFTER DELETE ON attempts BEGIN
    UPDATE runs SET attempted = 0
    WHERE id = OLD.run_id AND NOT EXISTS (SELECT 1 FROM attempts WHERE run_id = OLD.run_id);
END;

DROP INDEX runs_queue;
CREATE INDEX runs_queue ON runs (priority DESC, timing, attempted DESC, queue_order) WHERE state = 'queued' AND file IS NOT NULL;
