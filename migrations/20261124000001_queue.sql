-- What is to be trained, in which order, and who asked for it.
-- Everything here can be rebuilt from the home's files (runner reindex), except the columns marked
-- "volatile": those say what the scheduler of this machine is doing right now.
-- Times are integer milliseconds since 1970, UTC. Counts and steps fit in 63 bits.

-- One row: facts about the index itself.
CREATE TABLE index_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- Grows with every write transaction; pages poll it to know when to refresh.
    changes INTEGER NOT NULL DEFAULT 0,
    -- Bytes of journal.jsonl already applied: set in the transaction that applies a line, so that a
    -- killed runner neither loses nor repeats a decision.
    journal_offset INTEGER NOT NULL DEFAULT 0,
    -- No new attempts start while 1.
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
) STRICT;
INSERT INTO index_state (id) VALUES (1);

-- A recipe with a seed. Equal key = trained once, shared by every table.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE CHECK (length(key) = 64),
    -- recipe.json, verbatim. NULL while only the journal or a dependent run has named this run: the
    -- journal may be applied before or after the run directory is registered.
    file TEXT,
    -- Copies of what filters and lists need, so that they never parse `file`.
    seed INTEGER NOT NULL DEFAULT 0,
    model TEXT NOT NULL DEFAULT '',
    dataset TEXT NOT NULL DEFAULT '',
    -- Images of one step: steps times this is what a progress bar calls images.
    batch_size INTEGER NOT NULL DEFAULT 0,
    -- `blocked` is not stored: it is `queued` with a dependency that is not done.
    state TEXT NOT NULL DEFAULT 'new'
        CHECK (state IN ('new', 'queued', 'running', 'done', 'failed', 'cancelled')),
    -- Higher goes first.
    priority INTEGER NOT NULL DEFAULT 0,
    -- Order among equals: the end of the journal line that queued it.
    queue_order INTEGER NOT NULL DEFAULT 0,
    queued_at_ms INTEGER,
    -- When it was done, failed or was cancelled.
    ended_at_ms INTEGER,
    -- Volatile. Tries used up since it was last queued; a death by a signal uses none.
    tries INTEGER NOT NULL DEFAULT 0,
    -- Volatile. Not claimed before this time (back-off).
    retry_at_ms INTEGER,
    -- Why it failed, or (volatile) why it waits for another try.
    failure_class TEXT CHECK (failure_class IN ('permanent', 'transient')),
    message TEXT,
    -- Outcome of a finished run; weights_blake3 is NULL until then.
    weights_blake3 TEXT,
    best_epoch INTEGER,
    peak_bytes INTEGER,
    -- JSON array of wall seconds.
    epoch_seconds TEXT
) STRICT;
-- The claim reads exactly this order.
CREATE INDEX runs_queue ON runs (priority DESC, queue_order) WHERE state = 'queued';
CREATE INDEX runs_state ON runs (state);

-- Runs that must be done before a run can start (teachers, backbones).
CREATE TABLE dependencies (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    on_run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    PRIMARY KEY (run_id, on_run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_back ON dependencies (on_run_id);

-- An experiment file that was applied, once per distinct way of applying it.
CREATE TABLE applications (
    id INTEGER PRIMARY KEY,
    experiment TEXT NOT NULL,
    -- Names HOME/experiments/HASH.toml.
    hash TEXT NOT NULL,
    -- '' = the file as written: NULL would not be equal to itself in the unique index.
    profile TEXT NOT NULL,
    -- JSON array of the --set options.
    set_options TEXT NOT NULL,
    seeds INTEGER NOT NULL,
    applied_at_ms INTEGER NOT NULL,
    -- Journal line of the newest application: newest = highest, whatever clocks say.
    journal_offset INTEGER NOT NULL,
    UNIQUE (experiment, hash, profile, set_options)
) STRICT;

-- Which run a cell wants for a seed.
CREATE TABLE cells (
    application_id INTEGER NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    row_id TEXT NOT NULL,
    column_id TEXT NOT NULL,
    seed INTEGER NOT NULL,
    run_id INTEGER NOT NULL REFERENCES runs (id),
    PRIMARY KEY (application_id, row_id, column_id, seed)
) STRICT, WITHOUT ROWID;
CREATE INDEX cells_run ON cells (run_id);

-- Volatile. What the scheduler last said of its slots.
CREATE TABLE slots (
    slot TEXT PRIMARY KEY,
    -- `cpu`, `cuda:0`, ...
    device TEXT NOT NULL,
    threads INTEGER NOT NULL,
    run_key TEXT,
    attempt INTEGER,
    updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
