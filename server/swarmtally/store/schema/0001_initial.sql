-- Times are integer nanoseconds since the Unix epoch (UTC) unless a name says otherwise.

CREATE TABLE migration (
  version INTEGER PRIMARY KEY,
  applied_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE project (
  project TEXT PRIMARY KEY,
  current_swarm_id TEXT,
  created_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE swarm (
  swarm_id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES project,
  name TEXT NOT NULL,
  topology TEXT NOT NULL,
  strategy TEXT NOT NULL,
  max_agents INTEGER NOT NULL CHECK (max_agents BETWEEN 1 AND 10000),
  agents INTEGER NOT NULL DEFAULT 0 CHECK (agents BETWEEN 0 AND max_agents),
  model TEXT,
  created_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX swarm_by_project ON swarm (project, created_ns);

CREATE TABLE agent (
  agent_id TEXT PRIMARY KEY,
  swarm_id TEXT NOT NULL REFERENCES swarm ON DELETE CASCADE,
  joined INTEGER NOT NULL,              -- order of joining within the swarm, from 0
  role TEXT NOT NULL,
  name TEXT NOT NULL,
  capabilities TEXT NOT NULL,           -- JSON array of texts
  status TEXT NOT NULL CHECK (status IN ('idle', 'busy')),
  task_id TEXT,                         -- what it works on; NULL when idle
  idle_since_ns INTEGER NOT NULL,
  tasks_succeeded INTEGER NOT NULL DEFAULT 0,
  tasks_failed INTEGER NOT NULL DEFAULT 0,
  created_ns INTEGER NOT NULL,
  CHECK ((status = 'busy') = (task_id IS NOT NULL)),
  UNIQUE (swarm_id, joined)
) STRICT;
CREATE INDEX agent_idle ON agent (swarm_id, status, role, idle_since_ns);

CREATE TABLE run (
  run_id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES project,
  swarm_id TEXT NOT NULL,               -- kept when the swarm is deleted: what happened stays
  kind TEXT NOT NULL,
  task TEXT NOT NULL,
  context TEXT NOT NULL,                -- JSON array of texts all tasks see
  out_dir TEXT,
  backend TEXT NOT NULL,                -- JSON of BackendChoice; never a credential
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
  reason TEXT,
  created_ns INTEGER NOT NULL,
  started_ns INTEGER,
  finished_ns INTEGER,
  lease_owner TEXT,
  lease_epoch INTEGER NOT NULL,
  lease_expires_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX run_by_project ON run (project, created_ns);
CREATE INDEX run_unfinished ON run (lease_expires_ns) WHERE finished_ns IS NULL;

CREATE TABLE task (
  task_id TEXT PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,             -- order of insertion within the run, from 0
  key TEXT NOT NULL,
  phase TEXT NOT NULL,
  mode TEXT NOT NULL,
  role TEXT NOT NULL,
  text TEXT NOT NULL,
  priority INTEGER NOT NULL,
  remaining_path INTEGER NOT NULL,      -- tasks on the longest chain that starts here
  tolerates_failure INTEGER NOT NULL,
  expands INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('blocked', 'ready', 'running', 'succeeded', 'failed', 'cancelled')),
  pending INTEGER NOT NULL,             -- dependencies not finished yet
  attempts INTEGER NOT NULL DEFAULT 0,  -- started, lost ones not counted
  not_before_ns INTEGER NOT NULL DEFAULT 0,
  agent_id TEXT,                        -- who has it, or had it last
  created_ns INTEGER NOT NULL,
  ready_ns INTEGER,
  finished_ns INTEGER,
  error TEXT,
  UNIQUE (run_id, ordinal),
  UNIQUE (run_id, key)
) STRICT;
CREATE INDEX task_ready ON task (run_id, status, priority DESC, remaining_path DESC, ordinal);

CREATE TABLE dependency (
  task_id TEXT NOT NULL REFERENCES task ON DELETE CASCADE,
  depends_on TEXT NOT NULL REFERENCES task ON DELETE CASCADE,
  PRIMARY KEY (task_id, depends_on)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependency_reverse ON dependency (depends_on);

CREATE TABLE attempt (
  task_id TEXT NOT NULL REFERENCES task ON DELETE CASCADE,
  number INTEGER NOT NULL,              -- from 1; lost ones have a number too
  epoch INTEGER NOT NULL,               -- the run's lease epoch: (task_id, number, epoch) is the fence
  agent_id TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'lost')),
  claimed_ns INTEGER NOT NULL,
  started_ns INTEGER,
  ended_ns INTEGER,
  committed_ns INTEGER,
  exec_ns INTEGER,                      -- monotonic
  error TEXT,
  PRIMARY KEY (task_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
  usage_id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
  task_id TEXT NOT NULL,
  number INTEGER NOT NULL,              -- the attempt's
  agent_id TEXT NOT NULL,
  backend TEXT NOT NULL,
  model TEXT NOT NULL,
  opened_ns INTEGER NOT NULL,           -- before the call was sent
  closed_ns INTEGER,
  status TEXT NOT NULL CHECK (status IN ('open', 'reported', 'unknown')),
  prompt_bytes INTEGER NOT NULL,
  prompt_sha256 TEXT NOT NULL,
  digested INTEGER NOT NULL,            -- artefacts sent as digests
  input_tokens INTEGER,                 -- with cached ones; NULL is unknown and reason says why
  output_tokens INTEGER,                -- with reasoning
  cache_read_tokens INTEGER,
  cache_write_tokens INTEGER,
  reasoning_tokens INTEGER,
  reason TEXT
) STRICT;
CREATE INDEX usage_by_run ON usage (run_id, task_id);
CREATE INDEX usage_open ON usage (run_id) WHERE status = 'open';

CREATE TABLE artefact (
  artefact_id TEXT PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
  task_id TEXT NOT NULL UNIQUE REFERENCES task ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  phase TEXT NOT NULL,
  name TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  path TEXT,                            -- where it lies on disk, once written
  truncated INTEGER NOT NULL,           -- cut off at the model's output limit
  created_ns INTEGER NOT NULL,
  text TEXT NOT NULL,
  UNIQUE (run_id, phase, name)
) STRICT;

CREATE TABLE event (
  event_id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ns INTEGER NOT NULL,
  kind TEXT NOT NULL,                   -- such as task.ready, task.running, run.succeeded, agent.spawned
  project TEXT NOT NULL,
  swarm_id TEXT,
  run_id TEXT,
  task_id TEXT,
  agent_id TEXT,
  detail TEXT
) STRICT;
CREATE INDEX event_by_run ON event (run_id, event_id);

CREATE TABLE memory (
  memory_id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL REFERENCES project,
  namespace TEXT NOT NULL,
  key TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,          -- of value
  tags TEXT NOT NULL,                   -- JSON array of texts
  version INTEGER NOT NULL,
  created_ns INTEGER NOT NULL,
  updated_ns INTEGER NOT NULL,
  expires_ns INTEGER,
  value TEXT NOT NULL,                  -- JSON, up to 1 MiB: last, so that reading the others skips it
  UNIQUE (project, namespace, key)
) STRICT;
CREATE INDEX memory_by_key ON memory (project, key, namespace);
CREATE INDEX memory_expiring ON memory (expires_ns) WHERE expires_ns IS NOT NULL;

-- rowid is memory_id. body is the value's text without JSON syntax, so that a search finds words, not escapes.
CREATE VIRTUAL TABLE memory_text USING fts5 (key, body, tags, tokenize = "unicode61 remove_diacritics 2");
CREATE TRIGGER memory_text_delete AFTER DELETE ON memory BEGIN
  DELETE FROM memory_text WHERE rowid = old.memory_id;
END;
