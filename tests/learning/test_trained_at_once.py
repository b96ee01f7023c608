"""Others who train the same model at once."""

import json

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.retention import Retention
from swarmtally.learning.sections import to_document
from swarmtally.store.database import Database
from swarmtally.training import Training, TrainRequest
from tests.learning.worlds import as_given, world
from tests.store.conftest import HandClock, clock, database, path

__all__ = ["clock", "database", "path"]


# What another process does between a training's last write and whatever is read then.
_ANOTHER = (
    "CREATE TRIGGER another AFTER INSERT ON model WHEN NEW.version = 1 BEGIN INSERT INTO model SELECT NEW.project,"
    " NEW.model_id, 2, NEW.trained_ns, NEW.pattern, NEW.seed, 'of others', '{}'; END"
)


async def test_who_trains_is_told_of_the_version_it_trained_itself(database: Database, clock: HandClock) -> None:
    training = Training(database, clock, "p", Bookkeeper(database, clock, Retention()).close)
    await database.write(lambda tx: tx.rows(_ANOTHER))
    found = await training.train(TrainRequest("m", "coordination", as_given(world(30))))
    assert (found.model.version, found.model.rows_sha256 != "of others") == (1, True)
    assert json.loads(found.model.document) == json.loads(json.dumps(to_document(found.sections)))
