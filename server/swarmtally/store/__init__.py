"""SQLite: one writer with group commit, read-only readers, numbered migrations, one module per table family."""
