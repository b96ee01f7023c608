-- Calls that go on while their client asks how far they are (the protocol's tasks). The name is a secret: whoever knows
-- it may see and cancel the call.
CREATE TABLE handle (
  handle_id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES project,
  tool TEXT NOT NULL,
  run_id TEXT REFERENCES run ON DELETE CASCADE,   -- the run it stands for; NULL: `owner` works on it
  notes TEXT NOT NULL,
  owner TEXT NOT NULL,                            -- host:pid:start of the process that was called
  lease_expires_ns INTEGER NOT NULL,              -- renewed while `owner` works on it
  status TEXT NOT NULL CHECK (status IN ('working', 'completed', 'failed', 'cancelled')),
  message TEXT NOT NULL,
  result TEXT CHECK ((result IS NOT NULL) = (status = 'completed')),
  created_ns INTEGER NOT NULL,
  updated_ns INTEGER NOT NULL,
  expires_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX handle_by_run ON handle (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX handle_by_expiry ON handle (expires_ns);
