"""What packets deliver, on disk: written once, wherever a crash came, whoever writes at the same time."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.core.packets import Packets
from swarmtally.domain.errors import DiskFull, PacketRefused
from swarmtally.domain.run import Run
from swarmtally.domain.task import Artefact
from swarmtally.sparc.shelf import FolderShelf
from tests.core.harness import task
from tests.core.hosted import Hosted, hosted, made

FILES = (("src/cart.py", "print('cart')\n"), ("README.md", "# Cart\n"))


class Crashed(BaseException):
    """Ends a report where a killed process would."""


class CrashingShelf:
    """A process that dies before, or just after, it has written a file."""

    def __init__(self, *, written: bool) -> None:
        self.written = written

    async def put(self, run: Run, artefact: Artefact) -> str:
        if self.written:
            await FolderShelf().put(run, artefact)
        raise Crashed


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Hosted]:
    async with hosted(tmp_path / "home") as host:
        yield host


def files_below(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


async def on_disk(folder: Path) -> dict[str, str]:
    return await anyio.to_thread.run_sync(files_below, folder)


async def test_a_deliverable_and_its_files_lie_side_by_side(host: Hosted, tmp_path: Path) -> None:
    run_id = await host.start(task("a"), out_dir=tmp_path / "out")
    reported = await host.report(await host.claim_one(), made("the cart", *FILES))
    folder = tmp_path / "out" / run_id
    assert reported.artefact is not None
    assert reported.artefact.path == str(folder / "01-work-a.md")
    assert await on_disk(folder) == {
        "01-work-a.md": "the cart",
        "01-work-a/src/cart.py": "print('cart')\n",
        "01-work-a/README.md": "# Cart\n",
    }
    assert reported.run.status == "succeeded"


@pytest.mark.parametrize("written", [False, True])
async def test_a_crash_between_recording_and_writing_heals_at_the_next_claim(
    host: Hosted, tmp_path: Path, written: bool
) -> None:
    run_id = await host.start(task("a"), out_dir=tmp_path / "out")
    packet = await host.claim_one()
    dying = await host.another_client(CrashingShelf(written=written))
    with pytest.raises(Crashed):
        await dying.report(packet.task.task_id, packet.lease, made("the cart", *FILES))
    assert (await host.runs.get(run_id)).status == "waiting_for_host"
    assert await host.status(run_id) == {"a": "succeeded"}
    claimed = await host.packets.claim(1)
    assert (claimed.packets, claimed.runs) == ((), ())
    assert (await host.runs.get(run_id)).status == "succeeded"
    assert len(await on_disk(tmp_path / "out")) == 3


async def test_a_run_whose_out_dir_cannot_be_written_ends_saying_so(host: Hosted, tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "out").write_text("a file where a folder should be")
    run_id = await host.start(task("a"), task("b"), out_dir=tmp_path / "out")
    a, b = await host.claim(2)
    assert (await host.report(a)).run.status == "waiting_for_host"
    run = (await host.report(b)).run
    assert run.status == "succeeded"
    assert run.reason is not None
    assert run.reason.startswith("files not written: ")
    assert len((await host.runs.show(run_id)).artefacts) == 2


async def test_one_deliverable_that_cannot_be_written_leaves_the_others_their_place(
    host: Hosted, tmp_path: Path
) -> None:
    run_id = await host.start(task("a"), task("b"), out_dir=tmp_path / "out")
    a, b = await host.claim(2)
    folder = anyio.Path(tmp_path / "out" / run_id)
    await folder.mkdir(parents=True)
    await (folder / "01-work-a.md").symlink_to(tmp_path / "elsewhere")
    await host.report(a)
    reported = await host.report(b)
    assert reported.artefact is not None
    assert reported.artefact.path == str(folder / "02-work-b.md")
    assert "leads out of" in str(reported.run.reason)
    assert not await anyio.Path(tmp_path / "elsewhere").exists()


async def test_the_last_two_reports_at_once_finish_the_run_once(host: Hosted, tmp_path: Path) -> None:
    for round_ in range(10):
        run_id = await host.start(task("a"), task("b"), out_dir=tmp_path / "out")
        packets = await host.claim(2)
        clients: list[Packets] = [host.packets, await host.another_client()]
        async with anyio.create_task_group() as group:
            for client, packet in zip(clients, packets, strict=True):
                group.start_soon(client.report, packet.task.task_id, packet.lease, made("x" * 100_000, *FILES))
        assert (await host.runs.get(run_id)).status == "succeeded", round_
        assert (
            await host.one("SELECT COUNT(*) FROM event WHERE kind = 'run.succeeded' AND run_id = :id", id=run_id) == 1
        )
        assert len(await on_disk(tmp_path / "out" / run_id)) == 6, "a file was taken for somebody else's"
    assert await host.one("SELECT COUNT(*) FROM agent WHERE status = 'busy'") == 0


class FillingShelf:
    """Writes the files, and then the disk is full: nothing of this process can grow any more."""

    async def put(self, run: Run, artefact: Artefact) -> str:
        path = await FolderShelf().put(run, artefact)
        resource = pytest.importorskip("resource")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return path


@pytest.fixture
def room_again() -> Iterator[Callable[[], None]]:
    """Gives the disk its room back, at the latest when the test ends."""
    resource = pytest.importorskip("resource")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


async def test_a_disk_that_is_full_after_the_report_was_recorded_makes_no_error_of_it(
    host: Hosted, tmp_path: Path, room_again: Callable[[], None]
) -> None:
    run_id = await host.start(task("a"), task("b"), out_dir=tmp_path / "out")
    packet = await host.claim_one()
    filling = await host.another_client(FillingShelf())
    reported = await filling.report(packet.task.task_id, packet.lease, made("the cart", *FILES), claim=1)
    assert reported.artefact is not None
    assert (reported.artefact.text, reported.artefact.path, reported.claimed) == ("the cart", None, None)
    assert "the disk is full" in str(reported.trouble)
    room_again()
    with pytest.raises(PacketRefused, match="reported already"):
        await filling.report(packet.task.task_id, packet.lease, made("the cart", *FILES))
    last = await host.report(await host.claim_one())
    assert (last.run.status, last.trouble) == ("succeeded", None)
    assert {artefact.path is None for artefact in (await host.runs.show(run_id)).artefacts} == {False}
    assert len(await on_disk(tmp_path / "out" / run_id)) == 4


async def test_a_run_whose_last_report_met_a_full_disk_ends_with_the_next_claim(
    host: Hosted, tmp_path: Path, room_again: Callable[[], None]
) -> None:
    run_id = await host.start(task("a"), out_dir=tmp_path / "out")
    packet = await host.claim_one()
    filling = await host.another_client(FillingShelf())
    reported = await filling.report(packet.task.task_id, packet.lease, made("the cart"))
    assert reported.run.status == "waiting_for_host"
    assert "the disk is full" in str(reported.trouble)
    room_again()
    await host.packets.claim(1)
    assert (await host.runs.get(run_id)).status == "succeeded"


async def test_a_disk_that_is_full_before_records_nothing(
    host: Hosted, tmp_path: Path, room_again: Callable[[], None]
) -> None:
    import resource

    await host.start(task("a"), out_dir=tmp_path / "out")
    packet = await host.claim_one()
    before = await host.contents()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with pytest.raises(DiskFull):
        await host.report(packet, made("the cart"))
    room_again()
    assert await host.contents() == before
    assert (await host.report(packet)).run.status == "succeeded"


async def test_what_could_not_be_written_is_told_with_the_report(host: Hosted, tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "out").write_text("a file where a folder should be")
    await host.start(task("a"), task("b"), out_dir=tmp_path / "out")
    reported = await host.report(await host.claim_one())
    assert reported.run.status == "waiting_for_host"
    assert str(reported.trouble).startswith("files not written: ")


async def test_a_run_without_out_dir_needs_no_disk(host: Hosted) -> None:
    await host.start(task("a"))
    reported = await host.report(await host.claim_one(), made("", *FILES))
    assert reported.artefact is not None
    assert reported.artefact.path is None
    assert reported.run.status == "succeeded"
