"""Which project a folder belongs to."""

from pathlib import Path

import pytest

from swarmtally.core.project import git_root


def test_the_nearest_folder_with_a_git_is_the_project(tmp_path: Path) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "src" / "deep").mkdir(parents=True)
    assert git_root(tmp_path / "repo" / "src" / "deep") == tmp_path / "repo"
    assert git_root(tmp_path) is None


def test_a_worktree_whose_git_is_a_file_is_a_project(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    assert git_root(tmp_path) == tmp_path


def test_home_is_no_project_even_if_it_is_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert git_root(tmp_path / "work") is None
    assert git_root(tmp_path) is None
