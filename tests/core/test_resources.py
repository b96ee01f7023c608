"""What the process and its children used: real processes, and systems that do not tell."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.core import resources
from swarmtally.core.resources import ResourceProbe, Totals

WORKING = """
import sys
def burn(): sum(i * i for i in range(1_500_000))
burn(); print("worked", flush=True); sys.stdin.readline(); burn(); print("again", flush=True); sys.stdin.readline()
"""


@contextmanager
def child(program: str = WORKING) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def hear(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_children_are_counted_while_they_live() -> None:
    probe = ResourceProbe()
    before = probe.read()
    with child() as one, child() as two:
        hear(one)
        hear(two)
        use = probe.read().since(before)
        own = psutil.Process().memory_info().rss
    assert use.children is not None
    assert use.rss_bytes is not None
    assert use.cpu_ns is not None
    assert use.children >= 2
    assert use.rss_bytes > own
    assert use.cpu_ns >= 2 * 50_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell what ended children used")
def test_what_a_child_used_before_it_ended_is_counted_once() -> None:
    probe = ResourceProbe()
    start = probe.read()
    with child() as one:
        hear(one)
        middle = probe.read()
        tell(one)
        hear(one)
        tell(one)
        assert one.wait(30) == 0
        end = probe.read()
        parts = [middle.since(start).cpu_ns, end.since(middle).cpu_ns]
        whole = end.since(start).cpu_ns
    assert None not in (*parts, whole)
    assert parts[0] is not None
    assert parts[1] is not None
    assert whole is not None
    # Each total is told in whole ticks of the system.
    assert abs(sum(part for part in parts if part is not None) - whole) <= 40_000_000
    assert parts[0] > 0
    assert parts[1] > 0


def test_a_child_that_vanished_never_makes_a_figure_negative() -> None:
    probe = ResourceProbe()
    with child() as one:
        hear(one)
        before = probe.read()
    gone = replace(before, processes={key: item for key, item in (before.processes or {}).items() if key[0] != one.pid})
    use = gone.since(before)
    assert (use.cpu_ns, use.read_bytes, use.written_bytes) == (0, 0, 0) if psutil.LINUX else use.cpu_ns == 0


FIGURE = st.none() | st.integers(0, 1_000)
PROCESSES = st.dictionaries(
    st.tuples(st.integers(1, 4), st.sampled_from([1.0, 2.0])),
    st.builds(resources._Process, FIGURE, FIGURE, FIGURE, FIGURE, FIGURE),
    max_size=5,
)
TOTALS = st.builds(Totals, st.none() | PROCESSES, FIGURE, FIGURE, FIGURE)


@given(TOTALS, TOTALS)
def test_whatever_two_readings_say_no_figure_is_negative(before: Totals, now: Totals) -> None:
    use = now.since(before)
    for name in type(use).__slots__:
        figure = getattr(use, name)
        assert figure is None or figure >= 0


def test_a_figure_that_cannot_be_had_is_unknown_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "io_counters", denied, raising=False)
    monkeypatch.delattr(psutil, "net_io_counters")
    probe = ResourceProbe(tmp_path / "no pressure")
    before = probe.read()
    use = probe.read().since(before)
    assert (use.read_bytes, use.written_bytes, use.net_sent_bytes, use.memory_stall_ns) == (None,) * 4
    assert use.rss_bytes
    assert use.cpu_ns is not None
    assert use.children is not None


def test_where_processes_cannot_be_listed_their_figures_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: psutil.Process, recursive: bool = False) -> None:
        raise OSError("no process table")

    monkeypatch.setattr(psutil.Process, "children", broken)
    probe = ResourceProbe()
    use = probe.read().since(probe.read())
    assert (use.cpu_ns, use.rss_bytes, use.children, use.read_bytes) == (None,) * 4


def test_a_machine_wide_counter_that_went_back_is_unknown() -> None:
    assert Totals({}, 5, 9, 4).since(Totals({}, 6, 9, 1)).net_sent_bytes is None
    assert Totals({}, 5, 9, 4).since(Totals({}, 6, 9, 1)).net_received_bytes == 0


def test_the_kernels_pressure_is_read_as_nanoseconds(tmp_path: Path) -> None:
    pressure = tmp_path / "memory"
    pressure.write_text(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
    )
    assert ResourceProbe(pressure).read().memory_stall_ns == 12_000


def test_what_a_vanished_child_had_used_is_taken_off_but_never_more_than_there_is() -> None:
    parent, child = (1, 1.0), (2, 1.0)
    before = Totals(
        {parent: resources._Process(10, 0, 1, 10, 10), child: resources._Process(50, 0, 1, 50, 50)}, 0, 0, 0
    )
    reaped = Totals({parent: resources._Process(12, 57, 1, 67, 67)}, 0, 0, 0).since(before)
    lost = Totals({parent: resources._Process(12, 0, 1, 12, 12)}, 0, 0, 0).since(before)
    assert (reaped.cpu_ns, lost.cpu_ns) == (2 + 7, 2)
    if psutil.LINUX:
        assert (reaped.read_bytes, reaped.written_bytes, lost.read_bytes, lost.written_bytes) == (7, 7, 0, 0)
