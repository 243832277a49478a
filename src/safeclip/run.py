"""The run directory: every file a run writes, and how each is read back.

    RUN/config.yaml  log.jsonl  split.jsonl  scores/epoch-007.parquet  bad_pairs.parquet  manifest.parquet
    RUN/metrics.json  checkpoints/  tensorboard/  report.html

Files that are replaced are written beside, flushed to the disk and renamed; files that grow are JSON lines, cut back to
a known length on resume. A disk that is full or fails is one line (`writing`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from safeclip.config import RunConfig, from_dict, read_yaml, to_dict, write_yaml
from safeclip.errors import InputError, RunError, reason


class RunDir:
    """Paths of a run and the forms of its files. Epochs count from 1."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.log_file = self.path / "log.jsonl"
        self.split_file = self.path / "split.jsonl"
        self.bad_pairs_file = self.path / "bad_pairs.parquet"
        self.manifest_file = self.path / "manifest.parquet"
        self.metrics_file = self.path / "metrics.json"
        self.report_file = self.path / "report.html"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.lock_file = self.path / ".lock"

    def check_free(self) -> None:
        """Raises InputError where a run lies there already."""
        if self.config_file.exists() or self.checkpoints.exists():
            raise InputError(f"{self.path}: holds a run already; give --resume to go on with it, or another --out")

    def create(self, config: RunConfig) -> None:
        """Make the directory and write config.yaml. Raises InputError where a run lies there already."""
        self.check_free()
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.config_file, write_yaml({"made_with": machine(), **to_dict(config)}))

    @contextlib.contextmanager
    def alone(self, writes: bool) -> Iterator[None]:
        """Inside it, no other process trains into this run. Raises InputError where one does already. The lock goes
        with the process, however it ends, and is not inherited; where the file system has none, a line says so.
        writes: of ranks that train together, the one that does; the others need no lock."""
        if not writes:
            yield
            return
        with writing(self.lock_file):
            file = self.lock_file.open("a")
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise InputError(
                    f"{self.path}: another process trains this run; wait until it has ended, or end it, then --resume"
                ) from None
            except OSError as error:
                line = f"safeclip: {self.path}: has no locks ({reason(error)}); see that nothing else trains this run"
                print(line, file=sys.stderr)
            yield

    def config(self) -> RunConfig:
        """The resolved config. Raises InputError where there is none or it cannot be read."""
        if not self.config_file.is_file():
            raise InputError(f"{self.path}: no run here (config.yaml is missing); give the folder that --out named")
        return from_dict(RunConfig, {k: v for k, v in self._settings().items() if k != "made_with"})

    def made_with(self) -> dict[str, Any]:
        """The machine and versions that the run was begun with. Raises InputError."""
        about: dict[str, Any] = self._settings().get("made_with", {})
        return about

    def _settings(self) -> dict[str, Any]:
        try:
            values = read_yaml(self.config_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{self.config_file}: not readable as YAML ({error}); restore it or start anew") from None
        if not isinstance(values, dict):
            raise InputError(f"{self.config_file}: holds no settings; restore it or start anew")
        return values

    def sync_lines(self) -> None:
        """Have the files that grow on the disk before going on."""
        for file in (self.log_file, self.split_file):
            if file.exists():
                sync(file)

    def scores_file(self, epoch: int) -> Path:
        return self.path / "scores" / f"epoch-{epoch:03d}.parquet"

    def log(self) -> list[dict[str, Any]]:
        return list(read_lines(self.log_file))

    def splits(self) -> list[dict[str, Any]]:
        return list(read_lines(self.split_file))

    def metrics(self) -> dict[str, Any] | None:
        return json.loads(self.metrics_file.read_text(encoding="utf-8")) if self.metrics_file.is_file() else None


def latest_name(checkpoints: Path) -> str | None:
    """What `latest` in this folder says, None where there is none. Any text may stand there: whoever goes by it looks
    whether it names a checkpoint."""
    pointer = checkpoints / "latest"
    return pointer.read_text(encoding="utf-8", errors="replace").strip() if pointer.is_file() else None


def write_scores(path: Path, columns: dict[str, np.ndarray]) -> None:
    """One row a pair: uid int64, similarity float32, safe bool, and whatever else the method has.

    On disk uids are their differences and masks are bits; the columns are written in row groups, without a copy.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    smallest = {"use_dictionary": False, "column_encoding": {"uid": "DELTA_BINARY_PACKED"}}
    with replacing(path) as beside:
        pq.write_table(pa.table(columns), beside, compression="zstd", **smallest)


def read_scores(path: Path, columns: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The columns of a split's scores, by name. columns: those to read, where they are there; None: all."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        table = file.read([name for name in file.schema_arrow.names if columns is None or name in columns])
    return {name: table.column(name).to_numpy() for name in table.column_names}


def append_line(path: Path, record: dict[str, Any]) -> None:
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_finite(record), ensure_ascii=False, allow_nan=False) + "\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines of a JSON-lines file; a line torn by a crash ends the reading."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


def cut_back(path: Path, length: int) -> None:
    """Forget what was appended after `length` bytes."""
    if path.exists() and path.stat().st_size > length:
        with path.open("r+b") as file:
            file.truncate(length)


def length_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def copy_file(source: str | os.PathLike[str], path: Path) -> None:
    """A whole copy, or none."""
    with replacing(path) as beside:
        shutil.copyfile(source, beside)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write; it takes the place of `path` when all of it is on the disk. Raises RunError."""
    beside = path.with_name(path.name + ".part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            sync(beside)
            os.replace(beside, path)
            sync(path.parent)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """A write that fails, as on a full disk, becomes one line. Raises RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({reason(error)}); make room or mend the disk and go on: "
            "what was written before is whole"
        ) from error


def sync(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, on the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def machine() -> dict[str, Any]:
    """Versions and kind of machine, for config.yaml and every results file. Names no host and no path."""
    versions = {}
    for package in ("safeclip", "torch", "open_clip_torch", "numpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    about: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": versions,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
    }
    revision = _git_revision()
    if revision:
        about["git"] = revision
    return about


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git_revision() -> str | None:
    """Revision of the checkout this package runs from, None in an installed package."""
    head = Path(__file__).resolve().parents[2] / ".git"
    try:
        reference = (head / "HEAD").read_text().strip()
        if not reference.startswith("ref: "):
            return reference
        return (head / reference[5:]).read_text().strip()
    except OSError:
        return None


def _finite(value: Any) -> Any:
    """NaN and infinities as null: they are not JSON."""
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
