"""Who holds a lease: a process is known again whatever becomes of the machine's clock."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from swarmtally.core.owner import dead_among, is_dead, this_process

SetClock = Callable[[int], None]


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetClock]:
    """Moves the time of booting as Linux does when its clock is set; psutil is shown a copy of /proc with that."""
    if not Path("/proc/stat").exists():
        pytest.skip("only Linux computes when a process began from when it booted")

    def setting(by_s: int) -> None:
        lines = Path("/proc/stat").read_text().splitlines()
        moved = [f"btime {int(line.split()[1]) + by_s}" if line.startswith("btime") else line for line in lines]
        (tmp_path / "stat").write_text("\n".join(moved) + "\n")
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    (tmp_path / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    return setting


@pytest.mark.parametrize("by_s", [-86_400, -3, 3, 3_600])
def test_a_living_process_is_known_when_the_clock_was_set(set_clock: SetClock, by_s: int) -> None:
    before = this_process()
    set_clock(by_s)
    assert not is_dead(before)
    assert this_process() == before


def test_a_later_process_with_the_same_pid_is_another() -> None:
    host, pid, start = this_process().rsplit(":", 2)
    assert is_dead(f"{host}:{pid}:{int(start) - 60_000}")


def test_a_process_that_has_ended_is_dead_and_anothers_machine_is_not_ours_to_judge() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone, elsewhere = f"{platform.node()}:{ended.pid}:1", f"{platform.node()}x:{ended.pid}:1"
    assert dead_among([gone, elsewhere, this_process()]) == {gone}


def test_a_holder_named_by_an_earlier_version_is_known() -> None:
    process = psutil.Process()
    assert not is_dead(f"{platform.node()}:{process.pid}:{round(process.create_time() * 1000)}")
