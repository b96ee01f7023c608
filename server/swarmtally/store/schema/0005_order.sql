-- In which order the tasks of a plan should start, where it is expected how long they take.

ALTER TABLE task ADD COLUMN place INTEGER NOT NULL DEFAULT 0; -- from 1; 0: no order was made
ALTER TABLE task ADD COLUMN expected_ns INTEGER;              -- how long it was expected to take; NULL: nobody knew
DROP INDEX task_ready;
CREATE INDEX task_ready ON task (run_id, status, priority DESC, remaining_path DESC, place, ordinal);

-- Ready tasks whose next attempt must wait: looked for in each turn, and nearly always there are none.
CREATE INDEX task_waiting ON task (run_id, not_before_ns) WHERE status = 'ready' AND not_before_ns > 0;
