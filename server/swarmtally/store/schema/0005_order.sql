-- In which order the tasks of a plan should start, where it is expected how long they take.

ALTER TABLE task ADD COLUMN place INTEGER NOT NULL DEFAULT 0; -- from 1; 0: no order was made
ALTER TABLE task ADD COLUMN expected_ns INTEGER;              -- how long it was expected to take; NULL: nobody knew
DROP INDEX task_ready;
CREATE INDEX task_ready ON task (run_id, status, priority DESC, remaining_path DESC, place, ordinal);
