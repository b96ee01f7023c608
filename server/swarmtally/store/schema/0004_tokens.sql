-- What a call may take, what it cost, and what a separate request would have needed: see docs/measures.md.

ALTER TABLE usage ADD COLUMN shared_bytes INTEGER;          -- the prompt's beginning that all tasks of its run share
ALTER TABLE usage ADD COLUMN baseline_bytes INTEGER;        -- the prompt of a separate request; NULL: there would be none
ALTER TABLE usage ADD COLUMN baseline_shared_bytes INTEGER; -- its beginning that is the same for all tasks of the run
ALTER TABLE usage ADD COLUMN estimated_tokens INTEGER;      -- of input, before it was sent
ALTER TABLE usage ADD COLUMN reserved_tokens INTEGER;       -- held of the run's budget until it is closed; NULL: no budget
ALTER TABLE usage ADD COLUMN reserved_nanousd INTEGER;
ALTER TABLE usage ADD COLUMN cost_nanousd INTEGER;          -- NULL: its tokens or its model's price are unknown
ALTER TABLE usage ADD COLUMN output_weight REAL;            -- the model's price of output / its price of input
ALTER TABLE usage ADD COLUMN price_date TEXT;               -- of the price list
ALTER TABLE usage ADD COLUMN asked TEXT;                    -- JSON: references it asked for in place of a deliverable
CREATE INDEX usage_by_opening ON usage (opened_ns);
-- With all that sums are made of: they are asked for before each call of a run with a budget.
CREATE INDEX usage_budgeted ON usage (run_id, status, input_tokens, output_tokens, cost_nanousd, reserved_tokens,
  reserved_nanousd) WHERE reserved_tokens IS NOT NULL;

ALTER TABLE run ADD COLUMN budget_tokens INTEGER;           -- raw tokens; NULL: none
ALTER TABLE run ADD COLUMN budget_nanousd INTEGER;
ALTER TABLE run ADD COLUMN refused_tokens INTEGER;          -- what the call would hold for which the budget paused it
ALTER TABLE run ADD COLUMN refused_nanousd INTEGER;
