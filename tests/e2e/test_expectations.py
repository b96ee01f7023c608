"""What history tells of a mode decides in which order the tasks of later runs start."""

from pathlib import Path

import pytest

import swarmtally
from swarmtally.app import App
from swarmtally.domain.run import RunKind
from swarmtally.requests import SparcRequest
from tests.e2e.test_python_api import Named, done

PIPELINE = SparcRequest(RunKind.PIPELINE, (), ("Shop with catalog, cart, search",))


async def known(app: App) -> dict[str, tuple[bool, bool]]:
    """By key of the newest run's tasks: whether a duration was expected, and whether they have a place."""
    (newest, *_) = await (await app.runs()).newest(1)
    run_id = newest[0].run_id
    rows = await app.database.read(
        lambda tx: tx.rows("SELECT key, expected_ns, place FROM task WHERE run_id = :run_id", {"run_id": run_id})
    )
    return {row["key"]: (row["expected_ns"] is not None, row["place"] > 0) for row in rows}


async def test_a_pipeline_expects_nothing_until_each_mode_was_done_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    async with swarmtally.open(db=tmp_path / "swarm.db", project="p", backends={"ours": Named("ours")}) as app:
        await done(app, PIPELINE)
        assert set((await known(app)).values()) == {(False, False)}
        await done(app, PIPELINE)
        second = await known(app)
        # Three components: code was written three times, and the specification once.
        assert second["code_1"] == (True, True)
        assert second["spec"] == (False, False)
        await done(app, PIPELINE)
        await done(app, PIPELINE)
        assert set((await known(app)).values()) == {(True, True)}
