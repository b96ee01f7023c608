"""The live line on a terminal's stderr: how far the run is, and what runs now."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class LiveLine:
    """Appears with the first report and vanishes at the end; nothing at all where stderr is no terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: float, total: float | None, message: str) -> None:
        """Show `done` of `total` (None: not known) and one line of text."""
        if sys.stderr is None or not sys.stderr.isatty():
            return
        if self._progress is None or self._task is None:
            self._progress = _bar()
            self._task = self._progress.add_task("", total=None, message="")
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total, message=message)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
