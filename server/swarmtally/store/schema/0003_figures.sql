-- What the figures are made of: see docs/measures.md.

ALTER TABLE attempt ADD COLUMN ready_ns INTEGER;  -- when its task had become ready; NULL: made by an older version
ALTER TABLE attempt ADD COLUMN begun_ns INTEGER;  -- its agent took it up; NULL for a client's packets
ALTER TABLE attempt ADD COLUMN cause TEXT;        -- of a failure: rate_limit, timeout, network, server or other
ALTER TABLE attempt ADD COLUMN final INTEGER;     -- 1: it ended its task; 0: another attempt follows; NULL: not ended

ALTER TABLE run ADD COLUMN max_parallel INTEGER;  -- calls its backend takes at once; NULL: not limited, or not begun
ALTER TABLE run ADD COLUMN bound TEXT CHECK (bound IN ('latency', 'compute'));  -- what its calls wait for
ALTER TABLE run ADD COLUMN places INTEGER;        -- the most tasks that agents, roles and backend allowed at once

ALTER TABLE run ADD COLUMN measured_ns INTEGER;   -- the finished_ns that run_measure has a row for
CREATE INDEX run_unmeasured ON run (finished_ns)
  WHERE finished_ns IS NOT NULL AND (measured_ns IS NULL OR measured_ns <> finished_ns);

ALTER TABLE usage ADD COLUMN exec_ns INTEGER;     -- monotonic, of this one call
ALTER TABLE usage ADD COLUMN alone INTEGER;       -- 1: no other call of its backend and model was under way meanwhile
ALTER TABLE usage ADD COLUMN prefix TEXT;         -- JSON [[bytes, hash], …]: the prompt's beginnings, part by part
CREATE INDEX usage_of_model ON usage (backend, model, closed_ns);
CREATE INDEX usage_alone ON usage (backend, model, closed_ns) WHERE alone = 1;

-- A message travels when the task it is for starts, and has arrived when that task's agent holds it.
CREATE TABLE message_new (
  message_id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,                   -- data_transfer: what a task needs; coordination: what its topology shows it
  project TEXT NOT NULL,
  swarm_id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  task_id TEXT NOT NULL,                -- the task it is for
  about TEXT NOT NULL,                  -- the task that delivered what it carries
  sender TEXT NOT NULL,                 -- agent_id
  receiver TEXT NOT NULL,               -- agent_id
  hop INTEGER NOT NULL,                 -- from 1; the hop that equals hops brings it to its receiver
  hops INTEGER NOT NULL,
  sent_ns INTEGER NOT NULL,
  received_ns INTEGER                   -- NULL: on its way
) STRICT;
-- Until now they were called hand_over, and sent_ns was when their content had been made.
INSERT INTO message_new SELECT * FROM message;
DROP TABLE message;
ALTER TABLE message_new RENAME TO message;
CREATE INDEX message_by_run ON message (run_id, message_id);
CREATE INDEX message_under_way ON message (task_id) WHERE received_ns IS NULL;
CREATE INDEX message_by_age ON message (sent_ns);

-- One row each time a run ends: what happened from its first claim (or since it ended before, when it was retried).
CREATE TABLE run_measure (
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
  ended_ns INTEGER NOT NULL,            -- the run's finished_ns
  begun_ns INTEGER NOT NULL,            -- first claim; ended_ns when nothing was claimed
  project TEXT NOT NULL,
  swarm_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,                 -- how the run ended
  backend TEXT NOT NULL,
  model TEXT NOT NULL,
  succeeded INTEGER NOT NULL,           -- tasks that ended so, in this stretch
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  attempts INTEGER NOT NULL,            -- that kept an agent busy, lost and cancelled ones too
  results INTEGER NOT NULL,             -- attempts that succeeded or failed
  retried INTEGER NOT NULL,             -- of those, attempts that failed and were followed by another
  busy_ns INTEGER NOT NULL,             -- claim to commit, all attempts
  work_ns INTEGER NOT NULL,             -- exec of the attempts that ended their task
  critical_path_ns INTEGER NOT NULL,    -- longest dependent chain of those
  makespan_ns INTEGER,                  -- first claim to last commit; NULL: nothing was claimed
  places INTEGER,
  calls INTEGER NOT NULL,               -- of those attempts, with token figures and exec
  calls_unknown INTEGER NOT NULL,       -- attempts that succeeded with a call that lacks some of it, or with none
  fresh_tokens INTEGER NOT NULL,        -- input a sequential order would have left uncached
  output_tokens INTEGER NOT NULL,
  -- Durations in ns, ascending, eight bytes each, little end first; NULL: none.
  waits BLOB,
  execs BLOB,
  overheads BLOB,
  assignments BLOB,                     -- latencies of messages by kind
  updates BLOB,
  errors BLOB,
  transfers BLOB,                       -- this and the next as long as messages are kept
  coordinations BLOB,
  PRIMARY KEY (run_id, ended_ns)
) STRICT;                               -- with rowid: a row's durations then lie on one page
-- With all that sums are made of, so that a report on many runs reads no durations.
CREATE INDEX run_measure_by_end ON run_measure (project, ended_ns, begun_ns, swarm_id, kind, status, backend, model,
  succeeded, failed, cancelled, attempts, results, retried, busy_ns, work_ns, critical_path_ns, makespan_ns, places,
  calls, calls_unknown, fresh_tokens, output_tokens, run_id);
CREATE INDEX run_by_end ON run (project, finished_ns);

-- One a second and process while it executes runs. A figure that the system does not tell is NULL.
CREATE TABLE resource_sample (
  sample_id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ns INTEGER NOT NULL,
  project TEXT NOT NULL,
  owner TEXT NOT NULL,                  -- the process, host:pid:start
  interval_ns INTEGER NOT NULL,         -- what the row covers, up to at_ns; monotonic
  cpu_ns INTEGER,                       -- of the process and its children, as all down to children
  rss_bytes INTEGER,
  read_bytes INTEGER,
  written_bytes INTEGER,
  children INTEGER,
  net_sent_bytes INTEGER,               -- of the whole machine: systems do not count it by process
  net_received_bytes INTEGER,
  memory_stall_ns INTEGER,              -- of the whole machine: some task waited for memory (Linux PSI)
  store_ns INTEGER NOT NULL,            -- where the interval went: these four add up to it
  scheduling_ns INTEGER NOT NULL,
  backends_ns INTEGER NOT NULL,
  rest_ns INTEGER NOT NULL,
  lock_wait_ns INTEGER NOT NULL,        -- of store_ns, waiting for other processes' write locks
  lag_ns INTEGER NOT NULL,              -- the longest the event loop kept a due timer waiting
  calls INTEGER NOT NULL                -- under way at at_ns
) STRICT;
CREATE INDEX resource_sample_by_age ON resource_sample (project, at_ns);

-- What was kept no longer: of some rows all up to a moment may be gone. Figures of what lies before are not known.
CREATE TABLE forgotten (
  project TEXT NOT NULL,
  swarm_id TEXT NOT NULL,               -- empty: of no swarm
  what TEXT NOT NULL CHECK (what IN ('runs', 'messages', 'samples')),
  until_ns INTEGER NOT NULL,            -- the latest moment that a row gone was about
  PRIMARY KEY (project, swarm_id, what)
) STRICT, WITHOUT ROWID;
