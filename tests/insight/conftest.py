"""The store's own database and clock."""

from tests.store.conftest import clock, database, path

__all__ = ["clock", "database", "path"]
