"""What a run directory or a demo directory holds, read as far as it can be read.

What must stay true: a file that is missing, torn or of another form becomes a note that the page shows, never a crash
and never a silent gap. Values are passed on as they lie; `words.number` and the like take them apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from safeclip.attacks.catalog import ATTACKS
from safeclip.attacks.manifest import Manifest
from safeclip.config import METHOD_NAMES, read_yaml
from safeclip.errors import InputError
from safeclip.report.words import KINDS, mapping, model_name, number
from safeclip.run import RunDir, read_scores

T = TypeVar("T")

_ALWAYS = {"uid", "similarity", "safe"}
"""Columns that every split has."""


@dataclass(frozen=True)
class AttackResult:
    """How one attack went on one model. kind: one of `words.KINDS`. from_class: whose pictures a swap is about.
    control: of a trigger, as evaluate/control.py has it, else empty. planted, in_safe: pairs planted, and of these in
    the safe set at the end."""

    name: str
    kind: str
    k: int
    n: int
    asr: float
    ci95: tuple[float, float]
    base_rate: float | None
    control: dict[str, Any]
    target_class: str | None
    from_class: str | None
    planted: int | None
    in_safe: int | None
    examples: tuple[dict[str, Any], ...]


@dataclass
class Run:
    """One run directory. config: config.yaml without what it was made with, which is `made_with`."""

    folder: RunDir
    config: dict[str, Any]
    made_with: dict[str, Any]
    metrics: dict[str, Any]
    log: list[dict[str, Any]]
    splits: list[dict[str, Any]]
    attacks: list[AttackResult] = field(default_factory=list)
    beside: bool = False
    """Whether another run on the page has the same method."""

    @property
    def method(self) -> str:
        return str(self.config.get("method", self.folder.path.name))

    @property
    def name(self) -> str:
        return model_name(self.method) + (f" ({self.folder.path.name})" if self.beside else "")

    @property
    def trained_on(self) -> tuple[Any, ...]:
        """Data, split, pairs and planted pairs: what runs must have in common to be compared."""
        data = self.section("data")
        file = self.folder.manifest_file
        planted = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
        pairs = next((line.get("pairs") for line in self.events("start")), None)
        return (str(data.get("spec")), str(data.get("split")), str(pairs), planted)

    @property
    def measured_by(self) -> str | None:
        """Digest of the manifest by which the attacks were measured, None where nobody said."""
        told = self.metric("data").get("manifest")
        return told if isinstance(told, str) else None

    def section(self, name: str) -> dict[str, Any]:
        """A part's settings, {} where the config does not tell them."""
        return mapping(self.config.get(name))

    def metric(self, name: str) -> dict[str, Any]:
        """A part of metrics.json, {} where it does not tell it."""
        return mapping(self.metrics.get(name))

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line.get("event") == kind]

    @property
    def seconds(self) -> float | None:
        """Seconds of training: of all epochs logged."""
        spent = [number(line.get("seconds")) for line in self.events("epoch")]
        return sum(s for s in spent if s is not None) if spent else None


@dataclass
class Facts:
    """A page's material. demo: several runs, meant to be on one poisoned data set; a plain CLIP run comes first.
    manifest: what was planted. shown: the same, where the attacks were measured by it."""

    path: Path
    demo: bool
    runs: list[Run]
    summary: dict[str, Any]
    manifest: Manifest | None
    shown: Manifest | None
    notes: list[str]

    @property
    def baseline(self) -> Run | None:
        """The undefended model that a defence is compared with."""
        return next((run for run in self.runs if run.method == "clip"), None) if len(self.runs) > 1 else None

    @property
    def same(self) -> bool:
        """Whether all runs were trained on the same pairs, planted ones among them. CleanCLIP mends on others."""
        return len({run.trained_on for run in self.runs if run.method != "cleanclip"}) < 2

    def shown_of(self, attack: str) -> Manifest | None:
        """`shown`, where it has this attack."""
        has = self.shown is not None and any(about["name"] == attack for about in self.shown.attacks)
        return self.shown if has else None

    def planted_in(self, run: Run) -> np.ndarray:
        """Uids of the planted pairs that the run was trained on, int64."""
        if self.same:
            return self.manifest.uids if self.manifest is not None else np.empty(0, np.int64)
        file = run.folder.manifest_file
        return Manifest.load(file).uids if file.is_file() else np.empty(0, np.int64)


def read(path: str | Path) -> Facts:
    """Everything the page needs of a run or demo directory. Raises InputError where it is neither."""
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give the folder that --out named")
    notes: list[str] = []
    folders = [path] if _holds_run(path) else sorted(p for p in path.iterdir() if p.is_dir() and _holds_run(p))
    demo = not _holds_run(path)
    if not folders:
        raise InputError(
            f"{path}: no run here or in a folder of it (no config.yaml, no log.jsonl); give the folder that --out named"
        )
    summary: dict[str, Any] = {}
    if demo:
        summary = _try(notes, "summary.json", lambda: _mapping(_json(path / "summary.json")), {})
    manifest = None
    found = next((p for f in (path, *folders) if (p := f / "manifest.parquet").is_file()), None)
    if found is not None:
        manifest = _try(notes, "manifest.parquet", lambda: Manifest.load(found), None)
    elif demo:
        notes.append("manifest.parquet is missing: the attacked pictures are left out.")
    runs = [_run(folder, notes, folder.name + "/" if demo else "") for folder in folders]
    runs.sort(key=lambda run: (_place(run.method), run.folder.path.name))
    methods = [run.method for run in runs]
    shown = manifest
    if manifest is not None and {run.measured_by for run in runs} - {None, manifest.digest}:
        shown = None
        notes.append("The attacks were measured by another manifest than the one here: its pictures are left out.")
    for run in runs:
        run.beside = methods.count(run.method) > 1
        told = [e for e in _list(summary.get("runs")) if isinstance(e, dict) and e.get("method") == run.method]
        entries = _list(run.metrics.get("attack")) if run.metrics or run.beside else told
        run.attacks = [attack for entry in entries if (attack := _attack(entry, run)) is not None]
    return Facts(path, demo, runs, summary, manifest, shown, notes)


def scores(run: Run, epoch: int, more: Collection[str] = ()) -> dict[str, np.ndarray] | None:
    """Scores of a split: uid, similarity, safe, and `more` where they are there; None where the file is missing or not
    readable. Nothing else is read of it, which may have a row for each of many millions of pairs."""
    file = run.folder.scores_file(epoch)
    if not file.is_file():
        return None
    try:
        columns = read_scores(file, {*_ALWAYS, *more})
    except (pa.ArrowException, OSError, ValueError):
        return None
    return columns if columns.keys() >= _ALWAYS else None


def _holds_run(path: Path) -> bool:
    return (path / "config.yaml").is_file() or (path / "log.jsonl").is_file()


def _run(path: Path, notes: list[str], where: str) -> Run:
    folder = RunDir(path)
    nothing: dict[str, Any] = {}
    lines: list[dict[str, Any]] = []
    about = _try(notes, where + "config.yaml", lambda: _mapping(_yaml(folder.config_file)), nothing)
    metrics = _try(notes, where + "metrics.json", lambda: _mapping(_json(folder.metrics_file)), nothing)
    log = _try(notes, where + "log.jsonl", lambda: _mappings(folder.log_file, folder.log), lines)
    splits = lines
    if folder.split_file.exists() or about.get("method") in ("safeclip", "filter"):
        splits = _try(notes, where + "split.jsonl", lambda: _mappings(folder.split_file, folder.splits), lines)
    config = {name: value for name, value in about.items() if name != "made_with"}
    return Run(folder, config, mapping(about.get("made_with")), metrics, log, splits)


def _attack(entry: Any, run: Run) -> AttackResult | None:
    """From an entry of metrics.json, or of summary.json's runs."""
    if not isinstance(entry, dict):
        return None
    name = str(entry.get("name", entry.get("attack", "")))
    asr, n = number(entry.get("asr")), number(entry.get("n", entry.get("asr_n")))
    if asr is None or not n:
        return None
    k = number(entry.get("k"))
    ends = [number(end) for end in _list(entry.get("ci95", entry.get("asr_ci95")))]
    low, high = ends if len(ends) == 2 else (None, None)
    inside, total = _planted(run, name)
    planted = number(entry.get("planted", entry.get("planted_total")))
    target, swapped = entry.get("target_class"), entry.get("from_class")
    return AttackResult(
        name=name,
        kind=_kind(entry.get("kind"), name),
        k=round(asr * n) if k is None else int(k),
        n=int(n),
        asr=asr,
        ci95=(asr if low is None else low, asr if high is None else high),
        base_rate=number(entry.get("base_rate")),
        control=mapping(entry.get("control")),
        target_class=None if target is None else str(target),
        from_class=None if swapped is None else str(swapped),
        planted=total if planted is None else int(planted),
        in_safe=inside,
        examples=tuple(e for e in _list(entry.get("examples")) if isinstance(e, dict)),
    )


def _place(method: str) -> int:
    """The methods' usual order, plain CLIP first."""
    return METHOD_NAMES.index(method) if method in METHOD_NAMES else len(METHOD_NAMES)


def _kind(told: Any, name: str) -> str:
    """The kind that an entry tells, else that of the attack of its name, else a backdoor."""
    if isinstance(told, str) and told in KINDS:
        return told
    return ATTACKS[name].kind if name in ATTACKS else "backdoor"


def _planted(run: Run, name: str) -> tuple[int | None, int | None]:
    """Of an attack's planted pairs, those in the last safe set, and all."""
    last = run.splits[-1] if run.splits else {}
    pair = _list(mapping(last.get("planted_by_attack")).get(name))
    if len(pair) == 2 and None not in (number(pair[0]), number(pair[1])):
        return int(pair[0]), int(pair[1])
    return None, None


def _try(notes: list[str], name: str, read_it: Callable[[], T], instead: T) -> T:
    """What `read_it` gives; where it cannot, a note for the page and `instead`."""
    try:
        return read_it()
    except FileNotFoundError:
        notes.append(f"{name} is missing: what it tells is left out.")
    except (InputError, ValueError, OSError, pa.ArrowException, RecursionError) as error:
        notes.append(f"{name} cannot be read ({type(error).__name__}): what it tells is left out.")
    return instead


def _yaml(file: Path) -> Any:
    return read_yaml(file.read_text(encoding="utf-8"))


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return value


def _mappings(file: Path, read_lines: Callable[[], list[Any]]) -> list[dict[str, Any]]:
    if not file.is_file():
        raise FileNotFoundError(file)
    return [_mapping(line) for line in read_lines()]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
