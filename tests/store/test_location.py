"""Where the database may lie, and with which rights."""

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmtally.domain.errors import DatabaseUnavailable, NetworkFileSystem
from swarmtally.store import location
from swarmtally.store.database import open_database

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /home rw - nfs4 server:/home rw
41 40 0:41 / /home/local rw - xfs /dev/vdb rw
42 27 0:42 / /mnt/my\040share\134x rw - cifs //server/share rw
43 27 0:43 / /over rw - ext4 /dev/vdc rw
44 43 0:44 / /over rw - 9p host rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/homes", "ext4"),
        ("/home", "nfs4"),
        ("/home/ann/data", "nfs4"),
        ("/home/local/data", "xfs"),
        ("/mnt/my share\\x/data", "cifs"),
        ("/mnt/my", "ext4"),
        ("/over/data", "9p"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(folder, kind):
    assert location.file_system(Path(folder), MOUNTS) == kind


def test_without_a_mount_table_the_file_system_is_not_known():
    assert location.file_system(Path("/data"), "") == ""
    location.refuse_network(Path("/data/swarm.db"), "")


def test_a_network_file_system_is_refused():
    with pytest.raises(NetworkFileSystem, match=r"network file system \(nfs4\), where locks fail; choose a local"):
        location.refuse_network(Path("/home/ann/swarm.db"), MOUNTS)
    location.refuse_network(Path("/home/local/swarm.db"), MOUNTS)


async def test_folder_and_files_are_for_their_owner_only(path, clock):
    before = os.umask(0)
    try:
        async with open_database(path, clock) as database:
            await database.write(lambda tx: tx.rows("INSERT INTO project VALUES ('p', NULL, 0)"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("swarm.db", "swarm.db-wal", "swarm.db-shm"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_exists_is_left_as_it_is(tmp_path):
    path = tmp_path / "swarm.db"
    path.write_bytes(b"content")
    assert location.prepare(path) == path
    assert path.read_bytes() == b"content"


def test_a_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert location.prepare(Path("a.db")) == tmp_path / "a.db"
    assert location.prepare(Path("~/b.db")) == tmp_path / "home" / "b.db"


def test_a_path_that_cannot_be_one_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match="it is a folder, not a file"):
        location.prepare(tmp_path)
    wrong = [
        tmp_path,
        tmp_path / "file" / "x.db",
        tmp_path / "nul\0.db",
        tmp_path / ("x" * 300),
        Path("~nobody-at-all/x"),
    ]
    for path in wrong:
        with pytest.raises(DatabaseUnavailable, match="cannot be used") as raised:
            location.prepare(path)
        assert "\n" not in str(raised.value)


@contextmanager
def as_nobody():
    """Without root's power to pass every permission."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder every user may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def test_a_folder_without_permission_is_refused(open_folder):
    with as_nobody(), pytest.raises(DatabaseUnavailable, match="permission denied"):
        location.prepare(open_folder / "swarm.db")
    with as_nobody(), pytest.raises(DatabaseUnavailable, match="permission denied"):
        location.prepare(open_folder / "data" / "swarm.db")


def test_a_file_that_may_only_be_read_is_let_through(open_folder):
    open_folder.chmod(0o755)
    path = open_folder / "swarm.db"
    path.touch(mode=0o444)
    with as_nobody():
        assert location.prepare(path) == path
