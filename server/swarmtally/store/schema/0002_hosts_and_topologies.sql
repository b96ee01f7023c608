-- Host-driven work, run control, draining agents, enforced topologies.
-- SQLite cannot change a CHECK, so three tables are made anew; foreign keys are off while scripts run.

CREATE TABLE run_new (
  run_id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES project,
  swarm_id TEXT NOT NULL,               -- kept when the swarm is deleted: what happened stays
  kind TEXT NOT NULL,
  task TEXT NOT NULL,
  context TEXT NOT NULL,                -- JSON array of texts all tasks see
  out_dir TEXT,
  backend TEXT NOT NULL,                -- JSON of BackendChoice; never a credential
  status TEXT NOT NULL CHECK (status IN
    ('queued', 'running', 'waiting_for_host', 'paused', 'succeeded', 'failed', 'cancelled')),
  reason TEXT,
  shape TEXT CHECK (shape IN ('solo', 'star', 'hierarchical', 'ring', 'mesh')),  -- NULL until an adaptive run decides
  shape_reason TEXT,
  created_ns INTEGER NOT NULL,
  started_ns INTEGER,
  finished_ns INTEGER,
  lease_owner TEXT,
  lease_epoch INTEGER NOT NULL,
  lease_expires_ns INTEGER NOT NULL
) STRICT;
INSERT INTO run_new
  SELECT run_id, project, swarm_id, kind, task, context, out_dir, backend, status, reason, NULL, NULL,
         created_ns, started_ns, finished_ns, lease_owner, lease_epoch, lease_expires_ns FROM run;
DROP TABLE run;
ALTER TABLE run_new RENAME TO run;
CREATE INDEX run_by_project ON run (project, created_ns);
CREATE INDEX run_unfinished ON run (lease_expires_ns) WHERE finished_ns IS NULL;
CREATE INDEX run_unfinished_of_swarm ON run (swarm_id) WHERE finished_ns IS NULL;

CREATE TABLE agent_new (
  agent_id TEXT PRIMARY KEY,
  swarm_id TEXT NOT NULL REFERENCES swarm ON DELETE CASCADE,
  joined INTEGER NOT NULL,              -- order of joining within the swarm, from 0
  role TEXT NOT NULL,
  name TEXT NOT NULL,
  capabilities TEXT NOT NULL,           -- JSON array of texts
  status TEXT NOT NULL CHECK (status IN ('idle', 'busy', 'left')),
  draining INTEGER NOT NULL DEFAULT 0,  -- leaves when its task is done
  task_id TEXT,                         -- what it works on; NULL unless busy
  idle_since_ns INTEGER NOT NULL,
  tasks_succeeded INTEGER NOT NULL DEFAULT 0,
  tasks_failed INTEGER NOT NULL DEFAULT 0,
  created_ns INTEGER NOT NULL,
  left_ns INTEGER,
  CHECK ((status = 'busy') = (task_id IS NOT NULL)),
  CHECK ((status = 'left') = (left_ns IS NOT NULL)),
  UNIQUE (swarm_id, joined)
) STRICT;
INSERT INTO agent_new
  SELECT agent_id, swarm_id, joined, role, name, capabilities, status, 0, task_id, idle_since_ns,
         tasks_succeeded, tasks_failed, created_ns, NULL FROM agent;
DROP TABLE agent;
ALTER TABLE agent_new RENAME TO agent;
CREATE INDEX agent_idle ON agent (swarm_id, status, role, idle_since_ns);
CREATE INDEX agent_busy ON agent (task_id) WHERE task_id IS NOT NULL;

CREATE TABLE attempt_new (
  task_id TEXT NOT NULL REFERENCES task ON DELETE CASCADE,
  number INTEGER NOT NULL,              -- from 1; lost ones have a number too
  epoch INTEGER NOT NULL,               -- the run's lease epoch: (task_id, number, epoch) is the fence
  agent_id TEXT NOT NULL,
  -- expired: a packet nobody reported in time; its report is accepted until somebody claims the task again
  status TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'lost', 'expired', 'cancelled')),
  claimed_ns INTEGER NOT NULL,
  started_ns INTEGER,
  ended_ns INTEGER,
  committed_ns INTEGER,
  exec_ns INTEGER,                      -- monotonic
  error TEXT,
  lease TEXT,                           -- of a packet: what its holder names to report or renew
  expires_ns INTEGER,                   -- of a packet: until when it is its holder's alone
  PRIMARY KEY (task_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO attempt_new
  SELECT task_id, number, epoch, agent_id, status, claimed_ns, started_ns, ended_ns, committed_ns, exec_ns, error,
         NULL, NULL FROM attempt;
DROP TABLE attempt;
ALTER TABLE attempt_new RENAME TO attempt;
CREATE INDEX attempt_expiring ON attempt (expires_ns) WHERE status = 'running' AND expires_ns IS NOT NULL;

ALTER TABLE task ADD COLUMN hub INTEGER NOT NULL DEFAULT 0;        -- only the swarm's hub takes it
ALTER TABLE dependency ADD COLUMN sees INTEGER NOT NULL DEFAULT 0; -- 1: waits for it and sees its digest, but can do without

ALTER TABLE usage ADD COLUMN source TEXT CHECK (source IN ('reported', 'client'));  -- who gave the figures; NULL: nobody
UPDATE usage SET source = 'reported' WHERE status = 'reported';

-- Files that came with a deliverable; their paths are relative and checked.
CREATE TABLE artefact_file (
  artefact_id TEXT NOT NULL REFERENCES artefact ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  path TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (artefact_id, ordinal)
) STRICT;

-- One row for each edge a message travelled. received_ns of a hop is sent_ns of the next.
CREATE TABLE message (
  message_id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,                   -- hand_over: what one task delivered reaches the agent of another
  project TEXT NOT NULL,
  swarm_id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  task_id TEXT NOT NULL,                -- the task it is for
  about TEXT NOT NULL,                  -- the task that delivered what it carries
  sender TEXT NOT NULL,                 -- agent_id
  receiver TEXT NOT NULL,               -- agent_id
  hop INTEGER NOT NULL,                 -- from 1
  hops INTEGER NOT NULL,
  sent_ns INTEGER NOT NULL,
  received_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX message_by_run ON message (run_id, message_id);
