"""Read-only analysis: what the recorded rows say."""
