"""error_analysis over real files, real failures and a real process that reads."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest

from swarmtally import reading
from swarmtally.app import App, open_app
from swarmtally.core import progress
from swarmtally.domain.errors import AnalysisFailed, BackendFailure, InvalidInput, PathRefused
from swarmtally.logreading import child
from swarmtally.settings import Settings
from swarmtally_tools.errors import ErrorsView, error_analysis
from tests.core.harness import ScriptedBackend, swarmed, task
from tests.store.conftest import HandClock

LINES = ["alpha is down", "beta went away with it", "alpha is down"]


@asynccontextmanager
async def app_over(folder: Path, front: str = "mcp", allow: Sequence[Path] = ()) -> AsyncIterator[App]:
    settings = await anyio.to_thread.run_sync(
        lambda: Settings.gather(
            front,  # type: ignore[arg-type]
            db=str(folder / "swarm.db"),
            project="test",
            allow=[str(path) for path in allow],
            environ={},
            cwd=folder,
        )
    )
    async with open_app(settings, HandClock()) as app:
        yield app


async def analysed(app: App, **given: Any) -> ErrorsView:
    view = await error_analysis.call(app, given)
    assert isinstance(view, ErrorsView)
    return view


def outcome(view: ErrorsView) -> list[tuple[str, int, bool | None]]:
    return [(one.examples[0], one.count, one.new) for one in view.templates]


FOUND = [("alpha is down", 2), ("beta went away with it", 1)]


async def test_every_form_of_a_log_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("\n".join(LINES))
    listed = '["alpha is down", "beta went away with it",\n "alpha is down"]'
    async with app_over(tmp_path, allow=[tmp_path]) as app:
        for given in (
            {"logs": LINES},
            {"logs": "\r\n".join(LINES) + "\n"},
            {"logs": listed},
            {"path": str(tmp_path / "app.log")},
        ):
            view = await analysed(app, lines=True, **given)
            assert [pair[:2] for pair in outcome(view)] == FOUND
            assert [one.lines for one in view.templates] == [[0, 2], [1]]
            assert (view.lines, view.entries, view.total, view.stopped) == (3, 3, 2, None)
    assert view.source == f"file {tmp_path / 'app.log'}"


async def test_what_was_met_before_is_not_new(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        first = await analysed(app, logs=LINES)
        assert ([one.new for one in first.templates], first.new, first.known) == ([True, True], 2, 0)
        again = await analysed(app, logs=[*LINES, "gamma has never been seen"])
        assert (again.new, again.known) == (1, 2)
        assert {one.examples[0]: one.new for one in again.templates} == {
            "alpha is down": False,
            "beta went away with it": False,
            "gamma has never been seen": True,
        }
        seen = again.templates[0].seen
        assert seen is not None
        assert (seen.analyses, seen.entries, seen.first_at) == (1, 2, first.as_of)


async def test_a_message_whose_words_vary_more_than_before_is_not_new(tmp_path: Path) -> None:
    names = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"]
    async with app_over(tmp_path) as app:
        await analysed(app, logs=["user alice has lost the session"])
        many = await analysed(app, logs=[f"user {name} has lost the session" for name in names])
        (one,) = many.templates
        assert "<*>" in one.template
        assert (one.new, one.seen and one.seen.template) == (False, "user alice has lost the session")
        few = await analysed(app, logs=["user zoe has lost the session", "user zoe has found the session"])
        assert [each.new for each in few.templates] == [False, True]


async def test_own_failures_name_their_tasks_and_agents(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> str | BackendFailure:
        if key == "b" and asked == 0:
            return BackendFailure("the provider is overloaded", transient=True)
        return "done" if key != "c" else BackendFailure("no such model: m-1", transient=False)

    async with swarmed(tmp_path, ScriptedBackend(script)) as swarm:
        await swarm.init()
        tasks = await swarm.run(task("a"), task("b"), task("c"))
        failed = await swarm.rows("SELECT task_id, agent_id FROM attempt WHERE status = 'failed'")
    agents = {row["task_id"]: row["agent_id"] for row in failed}
    async with app_over(tmp_path) as app:
        view = await analysed(app)
        assert (view.source, view.lines) == ("own failures", 2)
        by_text = {one.examples[0]: one for one in view.templates}
        overloaded = next(one for text, one in by_text.items() if "overloaded" in text)
        missing = next(one for text, one in by_text.items() if "no such model" in text)
        assert (overloaded.task_ids, overloaded.agent_ids) == ([tasks["b"].task_id], [agents[tasks["b"].task_id]])
        assert (missing.task_ids, missing.agent_ids) == ([tasks["c"].task_id], [tasks["c"].agent_id])
        assert overloaded.lines is None
        assert overloaded.first_at is not None, "rows bear times"
        assert (overloaded.level, overloaded.components) == ("error", {"coder": 1})
        line = f"worker gave task {tasks['c'].task_id} up, see t_000000000000_0"
        named = await analysed(app, logs=[line])
        assert (named.templates[0].task_ids, named.templates[0].agent_ids) == ([tasks["c"].task_id], [])


async def test_without_failures_there_is_a_reason(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        view = await analysed(app)
        assert (view.templates, view.total, view.entries) == ([], 0, 0)
        assert "no attempt of this project has failed" in view.reasons["templates"]
        assert "templates" in (await analysed(app, logs="\n \n")).reasons


async def test_a_large_log_is_read_by_another_process_which_says_how_far_it_is(tmp_path: Path) -> None:
    log = tmp_path / "large.log"
    lines = ["alpha is down since yesterday"] * 12_000 + ["beta went away with it"]
    log.write_text("\n".join(lines))
    assert log.stat().st_size > reading.AT_ONCE_BYTES
    heard: list[tuple[float, float | None, str]] = []

    async def hear(done: float, total: float | None, message: str) -> None:
        heard.append((done, total, message))

    async with app_over(tmp_path, allow=[tmp_path]) as app:
        for given in ({"path": str(log)}, {"logs": lines}, {"logs": "\n".join(lines)}):
            heard.clear()
            with progress.listening(hear):
                view = await analysed(app, lines=True, **given)
            assert outcome(view) == [(lines[0], 12_000, view.new > 0), (lines[-1], 1, view.new > 0)]
            assert view.templates[1].lines == [12_000]
            done, total, message = heard[0]
            assert total is not None
            assert 0 < done <= total
            assert "2000 lines read" in message


async def test_a_module_that_lies_where_the_server_runs_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    async with app_over(tmp_path) as app:
        assert (await analysed(app, logs=["alpha is down since yesterday"] * 12_000)).entries == 12_000


async def test_a_cancelled_call_ends_its_process(tmp_path: Path) -> None:
    async with app_over(tmp_path, front="shell") as app:
        await anyio.to_thread.run_sync(os.mkfifo, tmp_path / "pipe")
        # A pipe that nobody closes: the process that reads it would go on for ever.
        kept = os.open(tmp_path / "pipe", os.O_RDWR)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: analysed(app, path=str(tmp_path / "pipe")))
                with anyio.fail_after(20):
                    await begun()
                group.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(readers) == []
        finally:
            os.close(kept)


def readers() -> list[psutil.Process]:
    """Processes of ours that read a log."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if child.MODULE in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


async def begun() -> psutil.Process:
    """The process that reads, as soon as there is one."""
    while not (found := await anyio.to_thread.run_sync(readers)):  # noqa: ASYNC110 - nothing tells of another process
        await anyio.sleep(0.01)
    return found[0]


async def test_a_process_that_is_killed_is_told_as_such(tmp_path: Path) -> None:
    async with app_over(tmp_path, front="shell") as app:
        await anyio.to_thread.run_sync(os.mkfifo, tmp_path / "pipe")
        kept = os.open(tmp_path / "pipe", os.O_RDWR)

        async def kill() -> None:
            (await begun()).kill()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(kill)
                with anyio.fail_after(20), pytest.raises(AnalysisFailed, match="was ended by signal 9"):
                    await analysed(app, path=str(tmp_path / "pipe"))
        finally:
            os.close(kept)


async def test_over_mcp_files_are_read_only_in_allowed_roots(tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir()
        (folder / "a.log").write_text("alpha is down\n")
    (allowed / "link.log").symlink_to(other / "a.log")
    (allowed / "own.log").symlink_to(allowed / "a.log")
    await anyio.to_thread.run_sync(os.mkfifo, allowed / "pipe")
    async with app_over(tmp_path, allow=[allowed]) as app:
        for path in (other / "a.log", allowed / "link.log", allowed / ".." / "other" / "a.log", "/etc/passwd"):
            with pytest.raises(PathRefused, match="outside the allowed roots"):
                await analysed(app, path=str(path))
        for path in (allowed / "pipe", allowed, allowed / "none.log", "-", "~nobody/x", "\0", " ", "x" * 4_000):
            with anyio.fail_after(5), pytest.raises(PathRefused):
                await analysed(app, path=str(path))
        for path in (allowed / "a.log", allowed / "own.log"):
            assert (await analysed(app, path=str(path))).entries == 1
    async with app_over(tmp_path, front="shell") as app:
        assert (await analysed(app, path=str(other / "a.log"))).entries == 1


async def test_what_cannot_be_a_log_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.log.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0")
    async with app_over(tmp_path, allow=[tmp_path]) as app:
        with pytest.raises(InvalidInput, match="two logs"):
            await analysed(app, logs="a", path="b")
        with pytest.raises(InvalidInput, match=r"is compressed; unpack it: gzip -dc"):
            await analysed(app, path=str(tmp_path / "a.log.gz"))
        with pytest.raises(InvalidInput, match="logs"):
            await analysed(app, logs=5)


async def test_a_given_log_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "GIVEN_LIMIT_BYTES", 100)
    async with app_over(tmp_path) as app:
        with pytest.raises(InvalidInput, match="at most 100"):
            await analysed(app, logs="x" * 101)


async def test_hostile_lines_come_out_as_text(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        view = await analysed(app, logs=["half \ud800 of a pair", "nul \0 inside", "\x1b[31mred\x1b[0m", "{" * 5_000])
        assert view.entries == 4
        view.model_dump_json().encode()
        assert view.notes == {"lines with NUL characters, which were taken out": 1}
        assert (await analysed(app, logs="half \ud800 of a pair")).entries == 1


async def test_templates_beyond_those_remembered_are_neither_new_nor_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "NOTED_LIMIT", 1)
    async with app_over(tmp_path) as app:
        view = await analysed(app, logs=LINES)
        assert [one.new for one in view.templates] == [True, None]
        assert "1 most frequent" in view.reasons["new"]
