-- What error_analysis has met, so that it can say what is new; and the failures it reads when it is given no log.

CREATE TABLE log_template (
  project TEXT NOT NULL REFERENCES project,
  key TEXT NOT NULL,                    -- hash of the masked template, the same in every process
  template TEXT NOT NULL,               -- masked: no secret of a log is ever stored, and no line of it
  category TEXT NOT NULL,
  first_ns INTEGER NOT NULL,            -- the analysis that met it first, and the one that met it last
  last_ns INTEGER NOT NULL,
  analyses INTEGER NOT NULL,            -- that met it
  entries INTEGER NOT NULL,             -- in all of them together: a log that was read twice counts twice
  PRIMARY KEY (project, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX log_template_by_age ON log_template (project, last_ns);

CREATE INDEX attempt_failed ON attempt (committed_ns) WHERE status IN ('failed', 'lost');
