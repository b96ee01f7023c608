"""The Python API: the document's programs as they stand there, and what it says about backends of one's own."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest

import swarmtally
from swarmtally import (
    App,
    Backend,
    BackendInfo,
    InvalidInput,
    NoBackend,
    Prompt,
    Reply,
    RunKind,
    SparcRequest,
    TokenUsage,
)
from swarmtally_tools.runs import RunView
from swarmtally_tools.sparc import sparc_run
from swarmtally_tools.swarm import SwarmView, swarm_init
from tests.core.harness import ScriptedBackend

DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"
PROGRAM = str(Path(sys.executable).with_name("swarmtally"))
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

ONE = SparcRequest(RunKind.RUN, ("coder",), ("a task",))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, home and database folder of its own; nothing of ours and no key in the environment."""
    for name in list(os.environ):
        if name.startswith("SWARMTALLY_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Named:
    """Answers with its name, and knows whether it was closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    @property
    def info(self) -> BackendInfo:
        return BackendInfo(self.name, f"{self.name}-1", None, 2, False, "latency", 8_000, 1_000)

    async def execute(self, prompt: Prompt) -> Reply:
        return Reply(f"by {self.name}", TokenUsage(reason="no model was asked"))

    async def aclose(self) -> None:
        self.closed = True


async def done(app: App, request: SparcRequest = ONE) -> tuple[str, str]:
    """Run the request to its end; its deliverable's text, and why that backend was chosen."""
    with anyio.fail_after(20):
        started = await app.start(request)
        runs = await app.runs()
        await runs.wait(started.run_id, None)
        state = await runs.show(started.run_id)
    return state.artefacts[0].text, state.run.backend.reason


def test_the_document_has_its_examples() -> None:
    assert len(EXAMPLES) == DOCUMENT.read_text().count("```python") == 2


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_document_prints_what_it_says(place: Path, number: int) -> None:
    program, printed = EXAMPLES[number]
    file = place / "example.py"
    file.write_text(program)
    finished = subprocess.run([sys.executable, str(file)], cwd=place, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == printed
    assert (place / "swarm.db").exists()


def test_importing_the_package_imports_next_to_nothing() -> None:
    program = "import sys, swarmtally; swarmtally.__version__; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"anyio", "pydantic", "aiosqlite", "asyncio", "swarmtally.app"} & set(out.split())


def test_the_public_names_are_those_a_type_checker_sees() -> None:
    tree = ast.parse(Path(swarmtally.__file__).read_text())
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {"__version__": "swarmtally.version"}
    for node in guarded.body:
        assert isinstance(node, ast.ImportFrom)
        seen |= {alias.name: node.module or "" for alias in node.names}
    assert swarmtally.__all__ == sorted(seen)
    for name, module in seen.items():
        assert getattr(swarmtally, name) is getattr(import_module(module), name)
    assert set(swarmtally.__all__) <= set(dir(swarmtally))


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        getattr(swarmtally, "opne")  # noqa: B009 - a type checker would refuse the plain form, as it should


async def test_the_only_backend_is_the_default_and_a_named_one_wins() -> None:
    one, two = Named("one"), Named("two")
    async with swarmtally.open(db="swarm.db", backends={"one": one}) as app:
        text, reason = await done(app)
        assert text == "by one"
        assert reason == "no model was named, and this is the one backend the program brought"
    async with swarmtally.open(db="swarm.db", model="two", backends={"one": one, "two": two}) as app:
        assert (await done(app))[0] == "by two"
        named = SparcRequest(RunKind.RUN, ("coder",), ("a task",), model="one")
        assert await done(app, named) == ("by one", "the program's own backend, named")
        view = await swarm_init.call(app, {"model": "one"})
        assert isinstance(view, SwarmView)
        assert view.backend == "one"
        assert (await done(app))[0] == "by one"


async def test_of_several_backends_one_must_be_named() -> None:
    async with swarmtally.open(db="swarm.db", backends={"one": Named("one"), "two": Named("two")}) as app:
        with pytest.raises(NoBackend, match="brought 2 backends and no model was named; name one of: one, two"):
            await app.start(ONE)


async def test_a_model_named_in_the_environment_goes_before_the_only_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMTALLY_MODEL", "local")
    async with swarmtally.open(db="swarm.db", backends={"one": Named("one")}) as app:
        with pytest.raises(swarmtally.ModelMissing):
            await app.start(ONE)


async def test_the_programs_backend_stays_open_for_who_made_it() -> None:
    one = Named("one")
    for _ in range(2):
        async with swarmtally.open(db="swarm.db", backends={"one": one}) as app:
            assert (await done(app))[0] == "by one"
    assert not one.closed


async def test_the_tools_use_it_too() -> None:
    async with swarmtally.open(db="swarm.db", backends={"one": Named("one")}) as app:
        view = await sparc_run.call(app, {"mode": "coder", "task": "a task"})
    assert isinstance(view, RunView)
    assert (view.status, view.backend.model) == ("succeeded", "one")


@pytest.mark.parametrize(
    ("kind", "context_bytes", "said"),
    [
        (RunKind.RUN, 20_000, None),
        (RunKind.RUN, 21_000, "does not go in whole: a prompt has room for 21000"),
        (RunKind.PIPELINE, 4_000, None),
        (RunKind.PIPELINE, 5_000, "The first task gets the shared context (5000 bytes) as far as a prompt has room"),
    ],
)
async def test_shared_context_without_room_is_told_at_the_start(
    kind: RunKind, context_bytes: int, said: str | None
) -> None:
    modes = () if kind is RunKind.PIPELINE else ("coder",)
    async with swarmtally.open(db="swarm.db", backends={"one": Named("one")}) as app:
        started = await app.start(SparcRequest(kind, modes, ("a task",), context=("x" * context_bytes,)))
        assert (started.note is None) == (said is None)
        assert said is None or said in str(started.note)
        view = await sparc_run.call(app, {"mode": "coder", "task": "a task", "context": ["x" * 30_000]})
        assert isinstance(view, RunView)
        assert view.next_step.startswith("The shared context (30000 bytes) does not go in whole")


async def test_a_task_without_room_names_the_option_that_takes_it() -> None:
    greedy = described(context_tokens=1_000, max_output_tokens=990)
    async with swarmtally.open(db="swarm.db", backends={"x": greedy}) as app:
        started = await app.start(ONE)
        runs = await app.runs()
        with anyio.fail_after(20):
            await runs.wait(started.run_id, None)
        (state,) = (await runs.show(started.run_id)).tasks
    assert "has room for 30; shorten the task or use a model with a larger context" in str(state.task.error)
    assert "990 of its 1000 tokens are kept for the answer (--max-output-tokens)" in str(state.task.error)


async def test_only_a_program_with_that_backend_goes_on_with_its_run(place: Path) -> None:
    backend = ScriptedBackend(gate=anyio.Event())
    async with swarmtally.open(db="swarm.db", project="p", backends={"mine": backend}) as app:
        started = await app.start(ONE)
        with anyio.fail_after(20):
            await backend.met.wait()

    shell = [PROGRAM, "runs", "resume", started.run_id, "--db", "swarm.db", "--project", "p"]
    refused = await anyio.run_process(shell, check=False)
    assert (refused.returncode, refused.stdout) == (2, b"")
    (line,) = refused.stderr.decode().splitlines()
    assert "its backend 'mine' was brought by a program" in line
    async with swarmtally.open(db="swarm.db", project="p", backends={"other": backend}) as app:
        runs = await app.runs()
        with pytest.raises(NoBackend, match="'mine'"):
            await runs.resume(started.run_id)
        assert (await runs.show(started.run_id)).status == "interrupted"

    async with swarmtally.open(db="swarm.db", project="p", backends={"other": Named("o"), "mine": Named("m")}) as app:
        runs = await app.runs()
        with anyio.fail_after(20):
            await runs.resume(started.run_id)
            await runs.wait(started.run_id, None)
        state = await runs.show(started.run_id)
    assert (state.status, state.artefacts[0].text) == ("succeeded", "by m")


async def test_a_body_that_raises_is_heard_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with swarmtally.open(db="swarm.db"):
            _ = 1 / 0


async def test_two_apps_in_one_program_see_the_same_state() -> None:
    async with swarmtally.open(db="swarm.db", project="p") as one, swarmtally.open(db="swarm.db", project="p") as two:
        await one.memory.store("p", "default", "k", {"n": 1})
        assert (await two.memory.retrieve("p", "default", "k")).value == {"n": 1}


class Half:
    info = Named("half").info


class Described(Named):
    """A backend whose info the test writes."""

    def __init__(self, info: object) -> None:
        super().__init__("described")
        self.described = info

    @property
    def info(self) -> Any:
        return self.described


def described(**given: Any) -> Described:
    return Described(replace(Named("x").info, **given))


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (Described({"name": "x"}), "backend 'x': its info is dict, not BackendInfo"),
        (described(max_parallel=0), "backend 'x': its max_parallel is 0; it must be a whole number of 1 or more"),
        (described(max_parallel=2.0), "its max_parallel is 2.0; it must be"),
        (described(max_parallel=True), "its max_parallel is True; it must be"),
        (described(context_tokens=-1), "its context_tokens is -1; it must be"),
        (described(max_output_tokens="9"), "its max_output_tokens is '9'; it must be"),
        (described(max_output_tokens=8_000), "its max_output_tokens (8000) leave nothing of its context_tokens (8000)"),
        (described(cache_least_tokens=0), "its cache_least_tokens is 0; it must be"),
        (described(fetches="words"), "its fetches is 'words'; it must be tool, text or None"),
        (described(bound="foo"), "its bound is 'foo'; it must be latency or compute"),
        (described(name=""), "its name is ''; it must be a text"),
        (described(model=None), "its model is None; it must be a text"),
    ],
)
async def test_a_backend_that_describes_itself_wrongly_is_refused(place: Path, backend: Backend, said: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(said)):
        async with swarmtally.open(db="swarm.db", backends={"x": backend}):
            raise AssertionError("it was opened")
    assert not (place / "swarm.db").exists()


@pytest.mark.parametrize(
    ("backends", "said"),
    [
        ({"local": Named("x")}, "cannot be called 'local'"),
        ({"host": Named("x")}, "cannot be called 'host'"),
        ({"openai:x": Named("x")}, "cannot be called 'openai:x'"),
        ({" ": Named("x")}, "cannot be called ' '"),
        ({"x": Half()}, "has no execute, aclose"),
        ({"x": Named}, "is a class"),
    ],
)
async def test_what_is_no_backend_is_refused(place: Path, backends: Mapping[str, Backend], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        async with swarmtally.open(db="swarm.db", backends=backends):
            raise AssertionError("it was opened")
    assert not (place / "swarm.db").exists()


async def test_arguments_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(InvalidInput, match="allow is one text"):
        async with swarmtally.open(db="swarm.db", allow="/srv"):
            raise AssertionError("it was opened")
    for limit in (0, 10**24):
        with pytest.raises(InvalidInput, match=f"max_output_tokens is {limit}; it must be 1 to 1000000"):
            async with swarmtally.open(db="swarm.db", max_output_tokens=limit):
                raise AssertionError("it was opened")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("9" * 5_000, "SWARMTALLY_MAX_OUTPUT_TOKENS is '999"),
        ("1000001", "max_output_tokens is 1000001; it must be 1 to 1000000"),
    ],
)
async def test_an_output_limit_of_the_environment_is_held_to_the_same_bounds(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("SWARMTALLY_MAX_OUTPUT_TOKENS", value)
    with pytest.raises(InvalidInput, match=said):
        async with swarmtally.open(db="swarm.db"):
            raise AssertionError("it was opened")


@pytest.mark.parametrize(
    ("kind", "modes", "tasks", "said"),
    [
        (RunKind.BATCH, "coder", ("x",), "modes is one text"),
        (RunKind.BATCH, ("coder",), "Login", "tasks is one text"),
        (RunKind.PIPELINE, (), ("x", "y"), "a pipeline has one task, not 2"),
        (RunKind.PIPELINE, ("coder",), ("x",), "a pipeline has no mode, not 1"),
        (RunKind.RUN, ("coder",), (), "a run has one task, not 0"),
        (RunKind.RUN, ("coder", "tester"), ("x",), "a run has one mode, not 2"),
        (RunKind.CONCURRENT, (), ("x",), "a concurrent has one mode, not 0"),
    ],
)
def test_a_request_has_the_modes_and_tasks_of_its_kind(
    kind: RunKind, modes: tuple[str, ...], tasks: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        SparcRequest(kind, modes, tasks)


async def test_the_defaults_are_found_without_blocking_the_event_loop(place: Path) -> None:
    """Blockbuster fails this test where `open` reads the disk in the event loop."""
    (place / ".git").mkdir()
    async with swarmtally.open(allow=[place]) as app:
        assert (app.settings.project, app.settings.allow) == (str(place), (place,))
        assert app.settings.database == place / "data" / "swarmtally" / "swarm.db"
