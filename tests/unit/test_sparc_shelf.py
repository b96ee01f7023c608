"""The shelf: files go where they may, and nothing is ever overwritten."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from swarmtally.core.ports import Shelf
from swarmtally.domain.errors import PathRefused
from swarmtally.domain.files import File
from swarmtally.domain.run import BackendChoice, Run, RunKind, RunStatus
from swarmtally.domain.task import Artefact
from swarmtally.sparc.roots import allowed_roots
from swarmtally.sparc.shelf import FolderShelf, _create_in_place, resolve_out_dir

SHELF: Shelf = FolderShelf()


def put(run: Run, artefact: Artefact) -> str:
    return anyio.run(SHELF.put, run, artefact)


ARTEFACT = Artefact(
    artefact_id="f_1_4", run_id="r_1", task_id="t_1_4", ordinal=4, phase="code", name="code_1", sha256="0" * 64,
    size_bytes=6, path=None, text="# Café\n", created_ns=0,
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(
        run_id="r_1", project="p", swarm_id="s_1", kind=RunKind.PIPELINE, task="Shop", context=(),
        out_dir=str(tmp_path / "a" / "out"), backend=BackendChoice("local", "m", None, "", None),
        status=RunStatus.RUNNING, reason=None, shape=None,
        shape_reason=None, created_ns=0, started_ns=0, finished_ns=None, lease_owner="me",
        lease_epoch=1, lease_expires_ns=1,
    )  # fmt: skip


@pytest.fixture
def folder(run: Run) -> Path:
    """The run's folder, made before the shelf makes it."""
    assert run.out_dir is not None
    path = Path(run.out_dir, "r_1")
    path.mkdir(parents=True)
    return path


async def test_files_are_written_beside_the_event_loop(run: Run) -> None:
    # Blocking calls on the loop are errors in tests.
    assert await SHELF.put(run, ARTEFACT) == await SHELF.put(run, ARTEFACT)


def test_an_artefact_becomes_a_numbered_file(run: Run, tmp_path: Path) -> None:
    path = put(run, ARTEFACT)
    assert path == str(tmp_path / "a" / "out" / "r_1" / "05-code-code_1.md")
    assert Path(path).read_bytes() == "# Café\n".encode()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_folders_and_files_are_not_writable_for_others(run: Run, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = Path(put(run, ARTEFACT))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    for made in (path.parent, path.parent.parent, tmp_path / "a"):
        assert made.stat().st_mode & 0o777 == 0o755


def test_names_are_slugs(run: Run) -> None:
    path = put(run, replace(ARTEFACT, ordinal=120, phase="../Ünsafe phase", name="\0/../日本" + "n" * 100))
    assert Path(path).name == f"121-unsafe-phase-{'n' * 64}.md"
    path = put(run, replace(ARTEFACT, name="日本"))
    assert Path(path).name == "05-code-artefact.md"


def test_a_file_with_the_same_content_is_taken_for_ours(run: Run, folder: Path) -> None:
    (folder / "05-code-code_1.md").write_bytes("# Café\n".encode())
    assert put(run, ARTEFACT) == str(folder / "05-code-code_1.md")
    assert put(run, ARTEFACT) == str(folder / "05-code-code_1.md")
    assert len(list(folder.iterdir())) == 1


def test_a_file_we_did_not_write_is_never_overwritten(run: Run, folder: Path) -> None:
    (folder / "05-code-code_1.md").write_text("# Cafe!\n")
    (folder / "05-code-code_1-2.md").mkdir()
    assert put(run, ARTEFACT) == str(folder / "05-code-code_1-3.md")
    assert (folder / "05-code-code_1.md").read_text() == "# Cafe!\n"
    assert put(run, ARTEFACT) == str(folder / "05-code-code_1-3.md")


FILES = (File("src/cart.py", "print()\n"), File("README.md", "# Cart\n"))


def names_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_lie_in_the_folder_of_their_deliverable(run: Run, folder: Path) -> None:
    assert put(run, replace(ARTEFACT, files=FILES)) == str(folder / "05-code-code_1.md")
    assert (folder / "05-code-code_1" / "src" / "cart.py").read_text() == "print()\n"
    before = names_below(folder)
    assert put(run, replace(ARTEFACT, files=FILES)) == str(folder / "05-code-code_1.md")
    assert names_below(folder) == before
    assert len(before) == 5


@pytest.mark.parametrize("name", ["05-code-code_1.md", "05-code-code_1/README.md", "05-code-code_1/src"])
def test_where_one_file_is_in_the_way_all_go_elsewhere(run: Run, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = names_below(folder)
    assert put(run, replace(ARTEFACT, files=FILES)) == str(folder / "05-code-code_1-2.md")
    assert (folder / name).read_text() == "mine"
    assert [one for one in names_below(folder) if "code_1-2" not in one] == before, "somebody else's folder was used"
    assert (folder / "05-code-code_1-2" / "src" / "cart.py").read_text() == "print()\n"


@pytest.mark.parametrize("place", ["05-code-code_1", "05-code-code_1/src", "05-code-code_1/src/cart.py"])
def test_no_link_on_a_file_s_way_leads_outside(run: Run, folder: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).symlink_to(outside)
    with pytest.raises(PathRefused, match="leads out of"):
        put(run, replace(ARTEFACT, files=FILES))
    outside.rmdir()
    with pytest.raises(PathRefused, match="leads out of"):
        put(run, replace(ARTEFACT, files=FILES))
    assert not outside.exists()


def test_a_link_to_nothing_on_a_file_s_way_is_gone_round(run: Run, folder: Path) -> None:
    (folder / "05-code-code_1").mkdir()
    (folder / "05-code-code_1" / "src").symlink_to(folder / "nothing")
    assert put(run, replace(ARTEFACT, files=FILES)) == str(folder / "05-code-code_1-2.md")
    assert not (folder / "nothing").exists()


KILLED_WHILE_WRITING = """
import resource, signal, sys
from pathlib import Path
from swarmtally.sparc.shelf import _create
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
_create(Path(sys.argv[1]), b"x" * 5_000)
"""


def test_a_process_killed_while_writing_leaves_no_half_file(run: Run, folder: Path) -> None:
    pytest.importorskip("resource")
    target = folder / "05-code-code_1.md"
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(target)], check=False)
    assert killed.returncode == -signal.SIGXFSZ
    assert put(run, replace(ARTEFACT, text="x" * 5_000)) == str(target)
    assert target.read_text() == "x" * 5_000


def test_where_a_file_system_has_no_links_nothing_is_overwritten_either(tmp_path: Path) -> None:
    target = tmp_path / "a.md"
    assert _create_in_place(target, b"mine")
    assert not _create_in_place(target, b"another")
    assert target.read_bytes() == b"mine"


def test_a_hundred_names_are_tried(run: Run, folder: Path) -> None:
    for suffix in ("", *(f"-{number}" for number in range(2, 101))):
        (folder / f"05-code-code_1{suffix}.md").touch()
    with pytest.raises(PathRefused, match="holds 100 files named 05-code-code_1; empty it or choose another"):
        put(run, ARTEFACT)
    (folder / "05-code-code_1-100.md").unlink()
    assert (put(run, ARTEFACT)).endswith("-100.md")


def test_a_run_folder_that_links_out_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.rmdir()
    folder.symlink_to(outside)
    with pytest.raises(PathRefused, match=r"r_1 is a link that leads out of .*; remove it or choose another out_dir"):
        put(run, ARTEFACT)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("place", ["a", "a/out"])
def test_a_link_made_after_the_start_in_place_of_out_dir_is_refused(run: Run, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).symlink_to(outside)
    with pytest.raises(PathRefused, match=r"a/out has become another folder since the run began \(.*/outside"):
        put(run, replace(ARTEFACT, files=FILES))
    assert list(outside.iterdir()) == []


def test_a_link_that_comes_while_the_folder_is_made_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    (outside / "out").mkdir(parents=True)
    make = Path.mkdir

    def swapped(path: Path, *mode: int, exist_ok: bool) -> None:
        path.symlink_to(outside) if path.name == "a" else make(path, *mode, exist_ok=exist_ok)

    monkeypatch.setattr(Path, "mkdir", swapped)
    with pytest.raises(PathRefused, match="has become another folder since the run began"):
        put(run, ARTEFACT)
    assert list((outside / "out").iterdir()) == []


def test_a_run_id_that_climbs_out_makes_no_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PathRefused, match="leads out of"):
        put(replace(run, run_id="../escape"), ARTEFACT)
    assert [path.name for path in folder.parents[1].iterdir()] == ["out"]


def test_a_file_that_links_out_is_refused_and_left_alone(run: Run, folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes("# Café\n".encode())
    (folder / "05-code-code_1.md").symlink_to(victim)
    with pytest.raises(PathRefused, match="leads out of"):
        put(run, ARTEFACT)
    victim.unlink()
    with pytest.raises(PathRefused, match="leads out of"):
        put(run, ARTEFACT)
    assert not victim.exists()


def test_a_link_inside_is_not_followed_either(run: Run, folder: Path) -> None:
    (folder / "mine.txt").write_bytes("# Café\n".encode())
    (folder / "05-code-code_1.md").symlink_to(folder / "mine.txt")
    (folder / "05-code-code_1-2.md").symlink_to(folder / "nothing.txt")
    assert put(run, ARTEFACT) == str(folder / "05-code-code_1-3.md")
    assert not (folder / "nothing.txt").exists()


def test_an_out_dir_that_cannot_be_made_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where a folder should be")
    with pytest.raises(PathRefused, match=r"cannot be written \(.+\); make it writable or choose another out_dir"):
        put(run, ARTEFACT)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_way_does_not_block(run: Run, folder: Path) -> None:
    os.mkfifo(folder / "05-code-code_1.md")
    assert (put(run, ARTEFACT)).endswith("-2.md")


def test_half_a_file_is_removed_when_the_disk_is_full(run: Run, folder: Path) -> None:
    resource = pytest.importorskip("resource")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(PathRefused, match=r"cannot be written \(File too large\)"):
            put(run, replace(ARTEFACT, text="x" * 5_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(folder.iterdir()) == []


def test_a_run_without_out_dir_is_a_mistake_of_ours(run: Run) -> None:
    with pytest.raises(ValueError, match="run r_1 has no out_dir"):
        put(replace(run, out_dir=None), ARTEFACT)


def test_the_roots_are_the_projects_and_those_named(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    assert allowed_roots(repo, [tmp_path, repo, repo / ".."]) == (repo, tmp_path)
    assert allowed_roots(None, []) == ()


def test_an_out_dir_inside_a_root_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_out_dir("new/out", [tmp_path]) == tmp_path / "new" / "out"
    assert resolve_out_dir(tmp_path / "x" / ".." / "y", [tmp_path]) == tmp_path / "y"
    (tmp_path / "inner").symlink_to(tmp_path / "new")
    assert resolve_out_dir("inner/out", [tmp_path / "inner" / ".."]) == tmp_path / "new" / "out"


def test_an_out_dir_outside_every_root_is_refused_with_the_remedy(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    for path in (tmp_path / "other", root / ".." / "other", root / "link" / "other", tmp_path / "root2"):
        with pytest.raises(PathRefused, match=rf"lies outside the allowed roots \({root}\); allow it with --allow /"):
            resolve_out_dir(path, [root])
    with pytest.raises(PathRefused, match=r"allowed roots \(none\)"):
        resolve_out_dir(root, [])


def test_the_root_folder_and_home_are_refused_even_if_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for path in (Path("/"), home, home / "x" / ".."):
        with pytest.raises(PathRefused, match="is too wide; name a folder of its own"):
            resolve_out_dir(path, [Path("/"), home])
    assert resolve_out_dir(home / "out", [home]) == home / "out"


@pytest.mark.parametrize("path", ["", "  ", "a\0b"])
def test_what_is_no_path_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(PathRefused, match="out_dir is empty or no path"):
        resolve_out_dir(path, [tmp_path])


def test_a_file_or_an_endless_name_is_no_out_dir(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PathRefused, match="is not a folder"):
        resolve_out_dir(tmp_path / "file", [tmp_path])
    with pytest.raises(PathRefused, match=r"cannot be used \(File name too long\)"):
        resolve_out_dir(tmp_path / ("x" * 5_000), [tmp_path])


def test_an_out_dir_that_could_not_be_made_is_refused_before_a_run_starts(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for path in ("app.py/x", "app.py/x/y", "round", "round/x"):
        with pytest.raises(PathRefused, match=r"(is not a folder|cannot be used \(.+\)); choose another"):
            resolve_out_dir(tmp_path / path, [tmp_path])
    with pytest.raises(PathRefused, match=r"cannot be used \(File name too long\)"):
        resolve_out_dir(tmp_path / ("x" * 300) / "y", [tmp_path])


@pytest.mark.parametrize("path", [".", "new", "new/deep"])
def test_an_out_dir_that_may_not_be_written_is_refused_before_a_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    # Tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda folder, _: folder != locked)
    with pytest.raises(PathRefused, match=r"cannot be written: .*/locked may not be; choose another"):
        resolve_out_dir(locked / path, [tmp_path])
    assert resolve_out_dir(tmp_path / "open", [tmp_path]) == tmp_path / "open"


def test_a_tilde_means_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(tmp_path)
    assert resolve_out_dir("~/out", [home]) == home / "out"
    assert allowed_roots(None, [Path("~/out")]) == (home / "out",)
    with pytest.raises(PathRefused, match="is too wide"):
        resolve_out_dir("~", [tmp_path])
    with pytest.raises(PathRefused, match="lies outside the allowed roots"):
        resolve_out_dir("~/out", [tmp_path / "repo"])
    with pytest.raises(PathRefused, match=r"begins with the home of a user who is not known; write \./~nobody-here/x"):
        resolve_out_dir("~nobody-here/x", [tmp_path])
    assert resolve_out_dir("./~nobody-here/x", [tmp_path]) == tmp_path / "~nobody-here" / "x"


@pytest.mark.parametrize("path", [".git", ".git/hooks", "sub/.git", ".GIT/x", "git~1/hooks", "link/hooks", "x/../.git"])
def test_gits_own_folder_is_no_out_dir(tmp_path: Path, path: str) -> None:
    (tmp_path / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / ".git")
    with pytest.raises(PathRefused, match="lies in git's own folder; name a folder beside it"):
        resolve_out_dir(tmp_path / path, [tmp_path])
    assert resolve_out_dir(tmp_path / ".github", [tmp_path]) == tmp_path / ".github"


def test_who_allows_a_folder_inside_gits_may_have_it(tmp_path: Path) -> None:
    inside = tmp_path / ".git" / "deliverables"
    assert resolve_out_dir(inside / "x", [tmp_path, inside]) == inside / "x"
