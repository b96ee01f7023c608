"""Models over run history that say what they do not know: pure, seeded code over rows; no database, no event loop."""
