"""Files are measured in processes of their own: several at once, and what takes one down takes nothing else with it."""

import contextlib
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from types import TracebackType
from typing import Self

from swarmtally.quality.facts import FileFacts, NotMeasured, from_wire, measured, to_wire
from swarmtally.quality.model import SourceFile

TIME_LIMIT_S = 20
"""For one file; what takes longer is left out."""

MAX_PROCESSES = 8

COLLECT_EVERY = 100
"""Files after which a process looks for memory that only refers to itself."""


def measure_all(
    files: Sequence[SourceFile], done: Callable[[int], None], time_limit_s: float = TIME_LIMIT_S
) -> Mapping[str, FileFacts | str]:
    """The facts of each file by its path, or why there are none.

    `done` is told how many are measured, from the calling thread. When it raises, the processes are stopped; when this
    process is killed, they see the end of their input and stop by themselves.
    """
    waiting: SimpleQueue[SourceFile] = SimpleQueue()
    for file in files:
        waiting.put(file)
    results: SimpleQueue[tuple[str, FileFacts | str] | None] = SimpleQueue()
    processes = min(os.cpu_count() or 1, MAX_PROCESSES, max(1, len(files) // 20))
    workers = [_Worker(waiting, results, time_limit_s) for _ in range(processes)]
    found: dict[str, FileFacts | str] = {}
    with contextlib.ExitStack() as stack:
        for worker in workers:
            stack.enter_context(worker)
        running = processes
        while running:
            result = results.get()
            if result is None:
                running -= 1
                continue
            found[result[0]] = result[1]
            done(len(found))
    for worker in workers:
        if worker.error is not None:
            raise worker.error
    return found


class _Worker:
    """A thread that hands files to a process one by one, and starts it again when a file took it down."""

    def __init__(
        self,
        waiting: "SimpleQueue[SourceFile]",
        results: "SimpleQueue[tuple[str, FileFacts | str] | None]",
        time_limit_s: float,
    ) -> None:
        self._waiting = waiting
        self._results = results
        self._time_limit_s = time_limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._stopped = False
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._end()
        self._thread.join()

    def _run(self) -> None:
        try:
            for file in self._files():
                self._results.put((file.path, self._measure(file)))
        except BaseException as error:  # noqa: BLE001 (raised again where the caller waits)
            self.error = None if self._stopped else error
        finally:
            self._end()
            self._results.put(None)

    def _files(self) -> Iterator[SourceFile]:
        with contextlib.suppress(Empty):
            while not self._stopped:
                yield self._waiting.get_nowait()

    def _measure(self, file: SourceFile) -> FileFacts | str:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(self._time_limit_s, process.kill)
        timer.start()
        try:
            job = json.dumps((file.path, file.language, file.text))
            process.stdin.write(job.encode("ascii") + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            timer.cancel()
        if not answer.endswith(b"\n"):
            return self._why_none(process)
        wire = json.loads(answer)
        return wire["refused"] if "refused" in wire else from_wire(wire)

    def _start(self) -> subprocess.Popen[bytes]:
        """`-P`: what lies in the current directory is not imported, should that be the target."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "swarmtally.quality.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._process

    def _why_none(self, process: subprocess.Popen[bytes]) -> str:
        status = process.wait()
        self._end()
        return f"measuring it took longer than {self._time_limit_s:g} s or ended its process (status {status})"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def main() -> None:
    """The process: a file a line in, its facts a line out."""
    gc.disable()  # what a file leaves behind is taken away by and by: a fifth less time
    for number, line in enumerate(sys.stdin.buffer):
        if number % COLLECT_EVERY == 0:
            gc.collect()
        path, language, text = json.loads(line)
        try:
            answer = to_wire(measured(path, language, text))
        except NotMeasured as refused:
            answer = {"refused": str(refused)}
        sys.stdout.buffer.write(json.dumps(answer).encode("ascii") + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
