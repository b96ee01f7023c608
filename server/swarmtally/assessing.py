"""Code quality of the project, of a folder or of what a run delivered, measured in a process of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from swarmtally.core import progress
from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import AnalysisFailed, InvalidInput, NotFound, PathRefused
from swarmtally.domain.run import Run
from swarmtally.domain.task import Artefact
from swarmtally.logreading.hiding import hide_secrets
from swarmtally.quality.answer import Answer, Judged, Line, read
from swarmtally.quality.model import Criterion, Finding
from swarmtally.settings import Settings
from swarmtally.sparc.code_blocks import code_files
from swarmtally.sparc.roots import allowed_roots, expanded, is_too_wide, real, refuse_outside
from swarmtally.sparc.shelf import FolderShelf
from swarmtally.store import artefacts, runs
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database

CURRENT = "current-project"

COMMAND = (sys.executable, "-P", "-m", "swarmtally.quality")
"""`-P` keeps the working directory, which may be the target, off the path of imports."""

LIMIT_S = 240.0
"""The longest an assessment may take over MCP: no client waits longer. In the shell it may take what it needs."""

RUN_FILES_BYTES = 256 * 1024 * 1024
"""The most of a run's deliverables that is written out to be assessed."""

_LINE_BYTES = 16 * 1024 * 1024
_AT_ONCE = 100
_RUN_ID = re.compile(r"r_[0-9a-z]{12}")
_SCRATCH = "swarmtally-run-"


class Kind(StrEnum):
    PROJECT = "project"
    PATH = "path"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which criteria, and which of their findings: `limit` of each, from `offset` on."""

    criteria: tuple[Criterion, ...] = tuple(Criterion)
    limit: int = 10
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Assessed:
    """An answer, and of what it is. `cut` says why not all of a run was assessed."""

    kind: Kind
    target: str
    answer: Answer
    as_of_ns: int
    cut: str | None = None


class Assessing:
    """Assesses targets for one project, one at a time: each takes all processors."""

    def __init__(self, database: Database, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._turn = anyio.Lock()

    async def assess(self, target: str, wanted: Wanted, within_s: float | None) -> Assessed:
        """Measure `target`: the project, a path below the allowed roots, or a run's deliverables. It is only read.

        Args:
            within_s: how long it may take; None: as long as it needs.

        Raises:
            PathRefused: the path lies outside the allowed roots, or is not there.
            NotFound: the project has no such run.
            InvalidInput: the run has delivered nothing yet.
            AnalysisFailed: it took too long, or the process ended before its work was done.
        """
        try:
            with anyio.fail_after(within_s):
                async with self._turn:
                    if _RUN_ID.fullmatch(target):
                        return await self._of_run(target, wanted)
                    kind = Kind.PROJECT if target == CURRENT else Kind.PATH
                    root = await anyio.to_thread.run_sync(self._resolved, target)
                    return Assessed(kind, str(root), await _asked(root, wanted), self._clock.now_ns())
        except TimeoutError:
            raise AnalysisFailed(
                f"the assessment took over {within_s:g} s and was ended; name fewer criteria or a smaller target, or "
                "use the shell, where it may take as long as it needs"
            ) from None

    def _resolved(self, target: str) -> Path:
        settings = self._settings
        own = settings.project_root
        if own is None and settings.front == "shell":
            own = Path.cwd()
        roots = allowed_roots(own, settings.allow)
        if target == CURRENT and own is None:
            raise PathRefused(
                "the server works in no git repository, so no folder is the current project; name a path below an "
                "allowed root, or start it in the project"
            )
        return _checked(own if target == CURRENT and own is not None else Path(expanded(target)), roots)

    async def _of_run(self, run_id: str, wanted: Wanted) -> Assessed:
        run = await self._database.read(lambda tx: runs.get(tx, self._settings.project, run_id))
        if run is None:
            raise NotFound(f"project {self._settings.project} has no run {run_id}; run_status lists its runs")
        async with _scratch() as folder:
            count, cut = await self._write_out(run, folder)
            if not count:
                raise InvalidInput(f"run {run_id} has delivered nothing yet; see run_status --run-id {run_id}")
            return Assessed(Kind.RUN, run_id, await _asked(folder / run_id, wanted), self._clock.now_ns(), cut)

    async def _write_out(self, run: Run, folder: Path) -> tuple[int, str | None]:
        """Put the run's deliverables below `folder` as `--out-dir` does; returns how many, and what cut them short."""
        shelf, here = FolderShelf(), replace(run, out_dir=str(folder))
        count, written_bytes, after = 0, 0, -1
        while True:

            async def unit(tx: Connection, after: int = after) -> list[Artefact]:
                return await artefacts.whole_of_run(tx, run.run_id, after, _AT_ONCE)

            page = await self._database.read(unit)
            for artefact in page:
                written_bytes += artefact.size_bytes
                if written_bytes > RUN_FILES_BYTES:
                    return count, f"only its first {count} deliverables are assessed: at most {RUN_FILES_BYTES:,} bytes"
                await shelf.put(here, replace(artefact, files=code_files(artefact)))
                count += 1
            if len(page) < _AT_ONCE:
                return count, None
            after = page[-1].ordinal


def _checked(path: Path, roots: Sequence[Path]) -> Path:
    """The file or folder that `path` means, links followed.

    Raises:
        PathRefused: it is not there, lies outside every root, or is `/` or the home folder.
    """
    if "\0" in str(path):
        raise PathRefused("target is no path; name a folder below an allowed root")
    target = real(path)
    refuse_outside("target", target, roots, target)
    if is_too_wide(target):
        raise PathRefused(f"target {target} is too wide; name a folder of its own")
    if not target.exists():
        raise PathRefused(f"target {target} is not there; give {CURRENT}, a path or the id of a run")
    return target


async def _asked(root: Path, wanted: Wanted) -> Answer:
    """What a process of its own says of `root`; when this is cancelled, it is killed with all it has started."""
    words = [str(root), ",".join(wanted.criteria), str(wanted.limit), str(wanted.offset)]
    async with _process([*COMMAND, *words]) as process:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        stages = _Stages()
        while (line := await _next(lines)) is not None:
            if line.error is not None:
                raise PathRefused(f"target {line.error}; name another")
            if line.answer is not None:
                return _without_secrets(line.answer)
            if line.progress is not None:
                await stages.tell(*line.progress)
        status = await process.wait()
    raise AnalysisFailed(
        f"the process that assesses ended early (status {status}, its trace is on stderr); leave out a criterion or a "
        "folder to see which one it is"
    )


def _without_secrets(answer: Answer) -> Answer:
    """Messages of linters quote the code: keys of dicts, paths, names."""
    return replace(answer, judged=tuple(map(_judged_without, answer.judged)))


def _judged_without(judged: Judged) -> Judged:
    findings = tuple(map(_finding_without, judged.assessment.findings))
    return replace(judged, assessment=replace(judged.assessment, findings=findings))


def _finding_without(finding: Finding) -> Finding:
    fix = None if finding.fix is None else hide_secrets(finding.fix)
    return replace(finding, message=hide_secrets(finding.message), fix=fix)


async def _next(lines: BufferedByteReceiveStream) -> Line | None:
    try:
        return read(await lines.receive_until(b"\n", _LINE_BYTES))
    except (anyio.EndOfStream, anyio.IncompleteRead):
        return None


class _Stages:
    """Makes of the analysers' progress, which begins anew with each of them, one figure that grows."""

    def __init__(self) -> None:
        self._names: list[str] = []

    async def tell(self, what: str, done: int, total: int) -> None:
        if what not in self._names:
            self._names.append(what)
        share = done / total if total else done / (done + 1_000)
        of = f" of {total}" if total else ""
        await progress.report(self._names.index(what) + min(share, 0.999), None, f"{what}: {done}{of}")


@asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[Process]:
    """A process in a group of its own, which is killed whole where it has not ended by itself."""
    process = await anyio.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, start_new_session=True
    )
    try:
        yield process
    finally:
        _kill(process)
        with anyio.CancelScope(shield=True):
            await process.aclose()


def _kill(process: Process) -> None:
    # Also after it has ended: one of its own may have outlived it.
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


@asynccontextmanager
async def _scratch() -> AsyncIterator[Path]:
    """A folder of this user's alone, gone afterwards."""
    folder = await anyio.to_thread.run_sync(lambda: real(Path(tempfile.mkdtemp(prefix=_SCRATCH))))
    try:
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
