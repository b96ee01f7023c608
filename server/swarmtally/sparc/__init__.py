"""SPARC: modes, the task graphs of run, batch, concurrent and pipeline, and what each task's prompt holds."""
