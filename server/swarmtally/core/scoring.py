"""Predictions beside what happened."""

from swarmtally.domain.clock import Clock
from swarmtally.store import models
from swarmtally.store.database import Database


async def score_ended(database: Database, clock: Clock, project: str) -> None:
    """Compare the project's predictions with what has happened since. Runs must have been measured
    (`Bookkeeper.close`); where there is nothing to compare, nothing is written."""
    if await database.read(lambda tx: models.unscored(tx, project)):
        await database.write(lambda tx: models.score(tx, project, clock.now_ns()))
