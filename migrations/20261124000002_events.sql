-- What attempts wrote into attempt-N.jsonl.
-- Superseding is never stored: attempt N's `started.step` = s puts away points of earlier attempts at
-- step >= s and evaluations of earlier attempts at step > s, and every reader derives that from
-- attempts.step0. So ingest only adds, in any order, and nothing needs rewriting when a run resumes.

CREATE TABLE attempts (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    -- Volatile. UUIDv7 given at the claim.
    attempt_id TEXT,
    -- What became of it. After a reindex every attempt that neither finished nor failed is `lost`.
    state TEXT NOT NULL
        CHECK (state IN ('running', 'finished', 'checkpointed', 'killed', 'failed', 'lost')),
    -- Volatile.
    slot TEXT,
    pid INTEGER,
    claimed_at_ms INTEGER,
    -- From its events: the first and the newest.
    started_at_ms INTEGER,
    last_event_ms INTEGER,
    -- First step it executes; NULL until it has started.
    step0 INTEGER,
    -- Step after the newest one it reported.
    next_step INTEGER NOT NULL DEFAULT 0,
    steps INTEGER NOT NULL DEFAULT 0,
    steps_per_epoch INTEGER NOT NULL DEFAULT 0,
    resumed_from TEXT,
    -- JSON: host, CPU, threads, versions, dataset digest.
    environment TEXT,
    -- Smoothed training images per second, and the time of the metrics event that it was last
    -- measured from (NULL right after anything but training, whose time must not count).
    images_per_s REAL NOT NULL DEFAULT 0,
    rate_from_ms INTEGER,
    failure_class TEXT CHECK (failure_class IN ('permanent', 'transient')),
    message TEXT,
    -- Bytes of attempt-N.jsonl already ingested, set in the transaction that ingests them.
    ingest_offset INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- A stretch of one metric of one attempt: up to some thousand points in one compressed block
-- (crates/store/src/chunk.rs says how). A row per point would be 40 times larger and 20 times slower.
-- The summary lets a chart skip blocks: min and max are those of the finite values, and NULL stands
-- for "none" or NaN, which SQL has no number for; the block keeps every value exactly.
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    metric_id INTEGER NOT NULL REFERENCES metrics (id),
    attempt INTEGER NOT NULL,
    -- First and last step of the stretch; steps grow inside it, with gaps where there were gaps.
    step0 INTEGER NOT NULL,
    step1 INTEGER NOT NULL CHECK (step1 >= step0),
    n INTEGER NOT NULL CHECK (n > 0),
    min REAL,
    max REAL,
    first REAL,
    last REAL,
    block BLOB NOT NULL
) STRICT;
-- Also what makes a second ingest of the same stretch fail loudly instead of doubling it.
CREATE UNIQUE INDEX chunks_place ON chunks (run_id, metric_id, attempt, step0);

CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    split TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    step INTEGER NOT NULL,
    n INTEGER NOT NULL,
    -- JSON object by metric name; non-finite values are strings, as in the event.
    metrics TEXT NOT NULL,
    UNIQUE (run_id, attempt, split, epoch, step)
) STRICT;

-- Which images were right, one bit each: apart, because a table reads all evaluations but needs the
-- bits of two of them (ImageNet: 12 KB an epoch).
CREATE TABLE bitsets (
    evaluation_id INTEGER PRIMARY KEY REFERENCES evaluations (id) ON DELETE CASCADE,
    top1 BLOB NOT NULL,
    top5 BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    step INTEGER NOT NULL,
    file TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    blake3 TEXT NOT NULL,
    PRIMARY KEY (run_id, attempt, step, file)
) STRICT, WITHOUT ROWID;
