-- What a call may take, what it cost, and what a separate request would have needed: see docs/measures.md.

ALTER TABLE usage ADD COLUMN shared_bytes INTEGER;          -- the prompt's beginning that all tasks of its run share
ALTER TABLE usage ADD COLUMN baseline_bytes INTEGER;        -- the prompt of a separate request; NULL: there would be none
ALTER TABLE usage ADD COLUMN baseline_shared_bytes INTEGER; -- its beginning that is the same for all tasks of the run
ALTER TABLE usage ADD COLUMN estimated_tokens INTEGER;      -- of input, before it was sent
ALTER TABLE usage ADD COLUMN reserved_tokens INTEGER;       -- held of the run's budget until it is closed; NULL: no budget
ALTER TABLE usage ADD COLUMN reserved_nanousd INTEGER;
ALTER TABLE usage ADD COLUMN cost_nanousd INTEGER;          -- NULL: its tokens or its model's price are unknown
ALTER TABLE usage ADD COLUMN output_weight REAL;            -- the model's price of output / its price of input
ALTER TABLE usage ADD COLUMN cache_read_weight REAL;        -- its price of cached input / the same; NULL: it has none
ALTER TABLE usage ADD COLUMN price_date TEXT;               -- of the price list
ALTER TABLE usage ADD COLUMN asked TEXT;                    -- JSON: references it asked for in place of a deliverable
ALTER TABLE usage ADD COLUMN delivered INTEGER DEFAULT 0;   -- 1: its answer is what its task delivered; NULL: not noted
-- Of these runs calls may still come, which alone would pass for all that separate requests are needed for.
UPDATE usage SET delivered = NULL WHERE run_id IN (SELECT run_id FROM run WHERE status <> 'succeeded');
-- With all that sums are made of: they are asked for before each call of a run with a budget.
CREATE INDEX usage_budgeted ON usage (run_id, status, input_tokens, output_tokens, cost_nanousd, reserved_tokens,
  reserved_nanousd) WHERE reserved_tokens IS NOT NULL;

-- With all that sums over calls are made of, so that they read no prompts' beginnings.
CREATE INDEX usage_counted ON usage (run_id, opened_ns, closed_ns, model, task_id, agent_id, input_tokens, output_tokens,
  cache_read_tokens, cache_write_tokens, source, cost_nanousd, output_weight, cache_read_weight, price_date, delivered,
  prompt_bytes, baseline_bytes, baseline_shared_bytes);

ALTER TABLE run_measure ADD COLUMN raw_tokens INTEGER;      -- of all its calls; this and the next NULL unless both are known
ALTER TABLE run_measure ADD COLUMN separate_tokens REAL;    -- what separate requests for the same tasks would have used
DROP INDEX run_measure_by_end;
CREATE INDEX run_measure_by_end ON run_measure (project, ended_ns, begun_ns, swarm_id, kind, status, backend, model,
  succeeded, failed, cancelled, attempts, results, retried, busy_ns, work_ns, critical_path_ns, makespan_ns, places,
  calls, calls_unknown, fresh_tokens, output_tokens, run_id, raw_tokens, separate_tokens);

ALTER TABLE run ADD COLUMN budget_tokens INTEGER;           -- raw tokens; NULL: none
ALTER TABLE run ADD COLUMN budget_nanousd INTEGER;
ALTER TABLE run ADD COLUMN refused_tokens INTEGER;          -- what the call would hold for which the budget paused it
ALTER TABLE run ADD COLUMN refused_nanousd INTEGER;
