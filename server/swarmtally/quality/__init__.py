"""Measures of source code by real analysers: files are read, never run. Synchronous, and without a database."""
