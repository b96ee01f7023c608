"""An empty database to copy."""

from tests.insight.conftest import empty

__all__ = ["empty"]
