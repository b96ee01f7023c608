"""quality_assess as a client sees it: targets, bounds, progress, cancelling."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from swarmtally import assessing
from tests.mcp.conftest import Mode, answered, connected, in_memory, told
from tests.quality.written import written

PROJECT = {
    "app/cart.py": '"""A cart."""\n\n\ndef total(prices):\n    return sum(prices)\n',
    "tests/test_cart.py": "def test_total():\n    assert total([1]) == 1\n",
    "README.md": "A cart. " * 60,
}
OURS = {"criteria": ["testing", "documentation"]}


def scores(view: dict[str, Any]) -> dict[str, float | None]:
    return {row["criterion"]: row["score"] for row in view["criteria"]}


def _contents(folder: Path) -> dict[Path, bytes]:
    """Every file but the server's own database and log."""
    own = ("swarm.db", "server.log")
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.name.startswith(own)}


async def test_the_current_project_is_assessed_in_both_eras(tmp_path: Path, mode: Mode) -> None:
    (tmp_path / ".git").mkdir()
    written(tmp_path, PROJECT)
    before = _contents(tmp_path)
    seen: list[float] = []

    async def told_of(done: float, _total: float | None, message: str | None) -> None:
        assert message
        seen.append(done)

    async with connected(tmp_path, mode) as client:
        view = answered(await client.call_tool("quality_assess", {}, progress_callback=told_of))
    assert (view["kind"], view["target"], view["files"]) == ("project", str(tmp_path), 2)
    assert len(view["criteria"]) == 8
    assert scores(view)["testing"] == 9.38
    (row,) = [row for row in view["criteria"] if row["criterion"] == "documentation"]
    assert row["findings"][0]["place"] == "app/cart.py:4"
    assert seen == sorted(seen)
    assert _contents(tmp_path) == before


async def test_only_what_lies_below_the_allowed_roots_is_read(tmp_path: Path) -> None:
    inside, outside = written(tmp_path / "in", PROJECT), written(tmp_path / "out", PROJECT)
    (inside / "way").symlink_to(outside)
    async with in_memory(tmp_path, allow=[str(inside)]) as client:
        view = answered(await client.call_tool("quality_assess", {"target": str(inside), **OURS}))
        assert (view["kind"], view["files"]) == ("path", 2)
        assert {"path": "way", "reason": "symlink leads out"} in view["left_out"]
        for target in (str(outside), str(inside / "way"), f"{inside}/../out", "/", "/etc/passwd"):
            line = told(await client.call_tool("quality_assess", {"target": target, **OURS}))
            assert "lies outside the allowed roots" in line
            assert "--allow" in line
        assert "is not there" in told(await client.call_tool("quality_assess", {"target": str(inside / "none")}))
        assert "no path" in told(await client.call_tool("quality_assess", {"target": "a\0b"}))
        assert "no folder is the current project" in told(await client.call_tool("quality_assess", {}))


async def test_a_secret_that_a_linter_quotes_is_masked(tmp_path: Path) -> None:
    key = "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"
    text = (
        f'NAMES = {{"{key}": 1, "{key}": 2}}\n__all__ = ["{key}"]\nopen("/tmp/{key}")\n"{{a}}".format(a=1, {key}=2)\n'
    )
    written(tmp_path, {"a.py": text, "README.md": f"[x](files?token={key})"})
    async with in_memory(tmp_path, allow=[str(tmp_path)]) as client:
        view = answered(await client.call_tool("quality_assess", {"target": str(tmp_path), "limit": 20}))
    rules = {finding["rule"] for row in view["criteria"] for finding in row["findings"]}
    assert {"F601", "F822", "F522", "S108", "broken-link"} <= rules
    assert key not in str(view)


async def test_a_file_is_a_target_too(tmp_path: Path) -> None:
    written(tmp_path, PROJECT)
    async with in_memory(tmp_path, allow=[str(tmp_path)]) as client:
        found = await client.call_tool("quality_assess", {"target": str(tmp_path / "app/cart.py"), **OURS})
    assert answered(found)["files"] == 1


async def _delivered(client: Any) -> str:
    run = answered(await client.call_tool("sparc_batch", {"modes": ["coder", "tester"], "tasks": ["A cart"]}))
    for packet in run["packets"]:
        given: dict[str, Any] = {"task_id": packet["task_id"], "lease": packet["lease"]}
        if packet["key"].startswith("coder"):
            given |= {"output": "A cart", "files": {"src/cart.py": PROJECT["app/cart.py"]}}
        else:
            given |= {"output": f"Tests:\n\n```python\n{PROJECT['tests/test_cart.py']}```\n"}
        answered(await client.call_tool("work_report", given))
    run_id: str = run["run_id"]
    return run_id


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders are made; nothing of ours is left there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


async def test_a_run_is_assessed_by_what_it_delivered(tmp_path: Path, scratch: Path) -> None:
    async with in_memory(tmp_path) as client:
        run_id = await _delivered(client)
        view = answered(await client.call_tool("quality_assess", {"target": run_id, **OURS}))
    assert (view["kind"], view["target"], view["files"], view["truncated"]) == ("run", run_id, 2, None)
    # The tests came in a fence of the deliverable, the code as a file.
    assert scores(view)["testing"] == 9.38
    (row,) = [row for row in view["criteria"] if row["criterion"] == "documentation"]
    places = [finding["place"] for finding in row["findings"]]
    assert places == ["README.md:1", "01-coder-coder_1/src/cart.py:4"]


async def test_only_so_much_of_a_run_is_written_out(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_memory(tmp_path) as client:
        run_id = await _delivered(client)
        monkeypatch.setattr(assessing, "RUN_FILES_BYTES", 150)
        view = answered(await client.call_tool("quality_assess", {"target": run_id, **OURS}))
    assert view["truncated"] == "only its first 1 deliverables are assessed: at most 150 bytes"


async def test_a_run_of_nobody_and_one_without_deliverables_are_refused(tmp_path: Path, scratch: Path) -> None:
    async with in_memory(tmp_path) as client:
        assert "has no run" in told(await client.call_tool("quality_assess", {"target": "r_0123456789ab"}))
        run = answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "Login"}))
        assert "delivered nothing yet" in told(await client.call_tool("quality_assess", {"target": run["run_id"]}))


async def test_findings_are_paged_and_an_answer_holds_only_so_many(tmp_path: Path) -> None:
    functions = "".join(f"def f{number}():\n    pass\n" for number in range(30))
    written(tmp_path, {"a.py": functions, "README.md": "x " * 100})
    async with in_memory(tmp_path, allow=[str(tmp_path)]) as client:

        async def page(**more: int) -> dict[str, Any]:
            asked = {"target": str(tmp_path), "criteria": ["documentation"], **more}
            return answered(await client.call_tool("quality_assess", asked))

        whole = (await page(limit=100))["criteria"][0]
        first, rest = await page(limit=20), await page(limit=20, offset=20)
        assert first["criteria"][0]["findings"] + rest["criteria"][0]["findings"] == whole["findings"]
        assert whole["findings_total"] == 31
        assert first["next_step"] == "for more of documentation: the same with offset 20"
        assert rest["next_step"] is None
        assert "more than an answer holds" in told(await client.call_tool("quality_assess", {"limit": 50}))


def _assessors() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if "swarmtally.quality" in _command(one)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    # It ended since it was listed.
    except psutil.NoSuchProcess:
        return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_call_that_is_cancelled_takes_its_processes_with_it(tmp_path: Path) -> None:
    written(tmp_path, PROJECT | {f"app/m{number}.py": "x = 1\n" * 2000 for number in range(200)})
    measuring = anyio.Event()

    async def told_of(_done: float, _total: float | None, message: str | None) -> None:
        if message and message.startswith("measuring"):
            measuring.set()

    async with in_memory(tmp_path, allow=[str(tmp_path)]) as client, anyio.create_task_group() as group:

        async def call() -> None:
            await client.call_tool("quality_assess", {"target": str(tmp_path)}, progress_callback=told_of)

        group.start_soon(call)
        await measuring.wait()
        started = _assessors()
        group.cancel_scope.cancel()
    # The one that was asked, and at least one that measures for it.
    assert len(started) >= 2
    with anyio.fail_after(5):
        while any(map(_lives, started)):
            await anyio.lowlevel.checkpoint()


async def test_what_takes_too_long_is_ended_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assessing, "LIMIT_S", 0.01)
    async with in_memory(tmp_path, allow=[str(tmp_path)]) as client:
        line = told(await client.call_tool("quality_assess", {"target": str(tmp_path)}))
    assert line.startswith("the assessment took over 0.01 s and was ended; name fewer criteria")


async def test_the_process_ends_when_its_asker_is_gone() -> None:
    reading, writing = os.pipe()
    process = await anyio.open_process(
        [*assessing.COMMAND, "/usr", "testing", "1", "0"], stdin=reading, start_new_session=True
    )
    os.close(reading)
    os.close(writing)
    with anyio.fail_after(20):
        assert await process.wait() != 0
