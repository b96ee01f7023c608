"""Read-only analysis of recorded rows: pure rules over domain values, and what reads the rows they need."""
