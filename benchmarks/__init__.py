"""Benchmarks: each measures us beside a limit or a peer in the same run and prints the ratio."""
