-- What neural_train was given and made of it, and what was predicted with that: see docs/learning.md.

CREATE TABLE given_row (
  given_id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL REFERENCES project,
  model_id TEXT NOT NULL,               -- the model it was given for
  batch TEXT NOT NULL,                  -- sha256 of the rows it came with: the same ones again add nothing
  line INTEGER NOT NULL,                -- from 1: line of the text, element of the list
  given_ns INTEGER NOT NULL,
  at_ns INTEGER,                        -- when what it tells of ended; NULL: it does not say
  level TEXT NOT NULL CHECK (level IN ('task', 'run')),
  duration_s REAL NOT NULL CHECK (duration_s > 0),
  success INTEGER,
  tokens INTEGER,
  mode TEXT,
  topology TEXT,
  strategy TEXT,
  backend TEXT,
  model TEXT,
  agents INTEGER,
  concurrency INTEGER,
  prompt_bytes INTEGER,
  tasks INTEGER,
  text TEXT NOT NULL,
  UNIQUE (project, model_id, batch, line)
) STRICT;

-- Plain JSON of coefficients: no code is stored, and none is run when it is read.
CREATE TABLE model (
  project TEXT NOT NULL REFERENCES project,
  model_id TEXT NOT NULL,
  version INTEGER NOT NULL,             -- from 1; a training makes the next
  trained_ns INTEGER NOT NULL,          -- rows that ended later were not seen
  pattern TEXT NOT NULL,
  seed INTEGER NOT NULL,
  rows_sha256 TEXT NOT NULL,            -- of the rows it was made from: the same rows and seed make the same model
  document TEXT NOT NULL,
  PRIMARY KEY (project, model_id, version)
) STRICT;

-- One row for each figure that was predicted of a run or a task before it had ended.
CREATE TABLE prediction (
  prediction_id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL REFERENCES project,
  model_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  made_ns INTEGER NOT NULL,
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
  task_id TEXT NOT NULL,                -- empty: it is about the whole run
  target TEXT NOT NULL CHECK (target IN ('duration_s', 'tokens', 'success')),
  value REAL NOT NULL,
  low REAL NOT NULL,
  high REAL NOT NULL,
  level REAL NOT NULL,                  -- how often what happens should lie within low and high
  actual REAL,                          -- what happened; NULL: not known, or not yet
  ended_ns INTEGER,                     -- when that was; NULL: it was cancelled, or has not ended yet
  scored_ns INTEGER,                    -- when that was looked up; NULL: it has not ended yet
  UNIQUE (project, model_id, run_id, task_id, target)
) STRICT;
CREATE INDEX prediction_by_run ON prediction (run_id);
CREATE INDEX prediction_unscored ON prediction (project, run_id) WHERE scored_ns IS NULL;
CREATE INDEX prediction_ended ON prediction (project, target, ended_ns) WHERE actual IS NOT NULL;
