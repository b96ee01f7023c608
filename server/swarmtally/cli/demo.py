"""`swarmtally demo`: the e-commerce exercise on the embedded model, through a real server and a real MCP client."""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from swarmtally.backends.gguf import find_model, pull
from swarmtally.cli import options
from swarmtally.cli.failures import Interrupted
from swarmtally.cli.live import LiveLine
from swarmtally.cli.options import Leaf, Options
from swarmtally.domain.text import counted
from swarmtally_tools.run_views import RunView, TaskView

if TYPE_CHECKING:
    from rich.table import Table

    from swarmtally.mcp.demo import Exercise

LOCAL_OUTPUT_TOKENS = 48
"""How long the embedded model's answers may be, in tokens: 48 of them are to take two minutes on two cores."""

PROJECT = "demo"
DEFAULT_OUT_DIR = "demo-output"

BAR_WIDTH = 36
"""Characters the whole run takes in the timeline."""

PIPED_WIDTH = 110
"""The width of tables where stdout is no terminal."""

FILES_SHOWN = 8


@click.command("demo", cls=Leaf)
@click.option(
    "--out-dir", metavar="FOLDER", default=DEFAULT_OUT_DIR, show_default=True, help="Where everything of it goes."
)
def command(out_dir: str) -> int:
    """Have a swarm work out an e-commerce platform: a server is started, an MCP client drives it, and you see who did
    what. It uses the embedded model (pulled first when missing) unless --model names another, and a database of its own
    in FOLDER unless --db names one. Exits with 1 when the run did not succeed."""
    given = options.current()
    folder = Path(out_dir).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    database = given.db or str(folder / "swarm.db")
    model = given.model or os.environ.get("SWARMTALLY_MODEL") or "local"
    _say(f"All of this demo goes to {folder}: deliverables, server.log and, unless --db names one, a")
    _say(f"database of its own ({database}, project {PROJECT}). Your own data is not touched.")
    if model.partition(":")[0] == "local":
        tokens = given.max_output_tokens or LOCAL_OUTPUT_TOKENS
        _say("The embedded model takes one call at a time (a provider's runs components side by side); its answers are")
        _say(f"kept to {tokens} tokens here: this shows that everything really runs.")
    if model in ("local", "local:smollm2"):
        _pull_missing(replace(given, db=database).settings().data_dir)
    exercise, seconds = _drive(given, database, model, folder)
    _report(exercise, seconds, folder, database)
    return _verdict(exercise.run)


def _pull_missing(data_dir: Path) -> None:
    if find_model(data_dir) is None:
        _say("The embedded model is not there yet:")
        pull("smollm2", data_dir, say=lambda line: _say(f"  {line}"))


def _drive(given: Options, database: str, model: str, folder: Path) -> tuple["Exercise", float]:
    from swarmtally.mcp.demo import drive

    started = time.monotonic()
    with (folder / "server.log").open("w", encoding="utf-8") as log, _display() as display:
        try:
            exercise = anyio.run(drive, _server_command(given, database, model, folder), folder, model, log, display)
        except KeyboardInterrupt:
            raise Interrupted(f"the demo was interrupted; what was done is in {database}") from None
    return exercise, time.monotonic() - started


def _server_command(given: Options, database: str, model: str, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "swarmtally", "serve", "--db", database, "--project", PROJECT, "--model", model]
    command += ["--allow", str(folder)]
    if given.base_url:
        command += ["--base-url", given.base_url]
    if given.max_output_tokens or model.partition(":")[0] == "local":
        command += ["--max-output-tokens", str(given.max_output_tokens or LOCAL_OUTPUT_TOKENS)]
    if given.max_parallel:
        command += ["--max-parallel", str(given.max_parallel)]
    return command


class _Lines:
    """Each step and each piece of news a line: what a pipe, a log or CI can show."""

    def __init__(self) -> None:
        self._last = ""

    def called(self, call: str, outcome: str) -> None:
        _say(f"  {call}  →  {outcome}")

    def progressed(self, done: float, total: float | None, message: str) -> None:  # noqa: ARG002 - `_Live` shows them
        # Each call tells first how far the run is, which the call before it may have told already.
        if message != self._last:
            self._last = message
            _say(f"    {message}")


class _Live(_Lines):
    """Steps as lines, and progress on one line that changes."""

    def __init__(self, line: LiveLine) -> None:
        super().__init__()
        self._line = line

    def progressed(self, done: float, total: float | None, message: str) -> None:
        self._line.show(done, total, message)


@contextmanager
def _display() -> Iterator[_Lines]:
    if sys.stdout.isatty() and sys.stderr.isatty():
        with LiveLine() as line:
            yield _Live(line)
    else:
        yield _Lines()


def _report(exercise: "Exercise", seconds: float, folder: Path, database: str) -> None:
    from rich.console import Console

    run = exercise.run
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    _say(f"\nWho did what when: run {run.run_id} {run.status}, {_seconds(run.duration_s)}")
    if run.timeline:
        console.print(_timeline(run.timeline, exercise.agents))
    for line in ("", *_tokens(run), "", *_files(run), "", *_next_steps(run, database, folder)):
        _say(line)
    _say(f"\nFrom the first call to the last it took {seconds:.0f} s.")


def _timeline(tasks: Sequence[TaskView], names: Mapping[str, str]) -> "Table":
    """A row per task; its bar shows when its last attempt ran, on the scale of the whole run."""
    from rich.table import Table

    starts = [_moment(task.started_at) for task in tasks if task.started_at]
    origin = min(starts, default=0.0)
    ends = [_moment(task.started_at) + (task.duration_s or 0.0) for task in tasks if task.started_at]
    span = max(max(ends, default=origin) - origin, 0.001)
    table = Table(box=None, pad_edge=False)
    for name in ("task", "role", "agent"):
        table.add_column(name, no_wrap=True)
    for name in ("start", "took", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"0 to {span:.0f} s", no_wrap=True, style="cyan", min_width=BAR_WIDTH)
    for task in tasks:
        begin = _moment(task.started_at) - origin if task.started_at else None
        table.add_row(
            _clean(task.key),
            _clean(task.role),
            _clean(names.get(task.agent_id or "", task.agent_id or "–")),
            _seconds(begin),
            _seconds(task.duration_s),
            "–" if task.raw_tokens is None else str(task.raw_tokens),
            _bar(begin, task.duration_s, span) if task.status == "succeeded" else task.status,
        )
    return table


def _bar(begin: float | None, took: float | None, span: float) -> str:
    if begin is None or took is None:
        return ""
    left = min(round(begin / span * BAR_WIDTH), BAR_WIDTH - 1)
    return " " * left + "█" * max(1, min(round(took / span * BAR_WIDTH), BAR_WIDTH - left))


def _tokens(run: RunView) -> Iterator[str]:
    usage = run.usage
    if usage is None or usage.raw_tokens is None:
        yield f"Tokens: not known; {usage.reasons.get('raw_tokens', '') if usage else 'not asked for'}"
        return
    cached = "" if usage.cache_read_tokens is None else f", of which {usage.cache_read_tokens} read from its cache"
    yield (
        f"Tokens as {run.backend.model} reported them: {usage.raw_tokens} raw in {counted(usage.calls, 'call')} "
        f"({usage.input_tokens} in{cached}; {usage.output_tokens} out)"
    )
    shown = ("raw_tokens", "cache_read_tokens")
    yield from (f"  {name}: {usage.reasons[name]}" for name in shown if name in usage.reasons)


def _files(run: RunView) -> Iterator[str]:
    """The deliverables that lie on disk now."""
    there = [item for item in run.artefacts or [] if item.path and Path(item.path).is_file()]
    yield f"Deliverables on disk: {len(there)} files, {sum(item.size_bytes for item in there)} bytes"
    yield from (f"  {item.path}" for item in there[:FILES_SHOWN])
    if len(there) > FILES_SHOWN:
        yield f"  … and {len(there) - FILES_SHOWN} more beside them"


def _next_steps(run: RunView, database: str, folder: Path) -> Iterator[str]:
    same = f"--db {shlex.quote(database)} --project {PROJECT}"
    installed = Path(sys.executable).with_name("swarmtally")
    program = shlex.quote(_nearer(installed))
    yield "Try next:"
    yield f"  {program} runs show {run.run_id} {same}"
    if run.artefacts:
        key = shlex.quote(run.artefacts[-1].memory_key)
        yield f"  {program} mcp memory_usage --action retrieve --key {key} {same}"
    out = shlex.quote(_nearer(folder))
    yield f"  {program} sparc run coder 'Login implementation' --out-dir {out} --allow {out}"
    yield f"  claude mcp add swarmtally -- {shlex.quote(str(installed))} serve --model local"


def _nearer(path: Path) -> str:
    """The path as seen from here when it lies below, else whole."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _verdict(run: RunView) -> int:
    if run.status == "succeeded":
        return 0
    errors = [f"{task.key}: {task.error}" for task in run.timeline or [] if task.error]
    reason = "; ".join([run.reason or run.next_step, *errors[:3]])
    click.echo(_clean(f"swarmtally: the demo's run {run.status}: {reason}"), err=True)
    return 1


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _seconds(number: float | None) -> str:
    return "–" if number is None else f"{number:.1f} s"


def _say(line: str) -> None:
    click.echo(_clean(line))


def _clean(text: str) -> str:
    """`text` without what could steer a terminal: a model wrote some of it."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)
