"""Benches without training: a small spec on the tiny data, hand-made records, and a laboratory that fakes the runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safeclip.attacks.manifest import Manifest
from safeclip.bench import measure
from safeclip.bench.grid import Cell
from safeclip.bench.measure import Record
from safeclip.bench.spec import Spec
from safeclip.bench.spec_file import spec_of
from safeclip.config import RunConfig
from safeclip.evaluate.wilson import wilson
from safeclip.run import RunDir, append_line, write_json, write_text
from tests import tiny

MACHINE = {"cpu": "a processor", "cores": 2, "python": "3.11.0", "versions": {"torch": "2.13.0"}}
TARGETED = {"name": "targeted", "params": {"targets_count": 2, "captions_each": 4}}
BADNETS = {"name": "badnets", "params": {"count": 8, "least": 8}}
CLEANCLIP = {"method": "cleanclip", "starts_from": "clip", "train_on": "val", "set": {"epochs": 2}}


def spec(**changes: Any) -> Spec:
    """Two attacks, plain CLIP and SafeCLIP, one seed."""
    plain: dict[str, Any] = {
        "name": "tiny",
        "data": {"spec": tiny.SPEC},
        "attacks": [TARGETED, BADNETS],
        "methods": ["clip", "safeclip"],
        "seeds": [0],
        "set": {"epochs": 5, "optim.batch_size": 40, "model.precision": "fp32", "safeclip.warmup_epochs": 1},
    }
    return spec_of(plain | changes)


def attack(label: str, k: int, n: int, **other: Any) -> dict[str, Any]:
    about = {"name": label, "label": label, "kind": "targeted" if label == "targeted" else "backdoor"}
    shares = {"asr": k / n, "k": k, "n": n, "ci95": list(wilson(k, n)), "base_rate": 0.05, "true_class_rate": 0.5}
    if about["kind"] == "backdoor":
        shares["control"] = {"place": 2 + k, "classes": 12, "most_class": "cat", "most_asr": 0.25}
    planned = {"target_class": None, "planted": 192, "count": 192, "rate": 0.024, "params": {"count": 192}}
    return about | shares | planned | other


def record(cell: Cell, hits: dict[str, tuple[int, int]], **other: Any) -> Record:
    """What `measure` would have written. hits: k and n of each attack, by its label."""
    made = {
        "id": cell.id,
        "bench": cell.bench,
        "group": cell.group,
        "method": cell.config.method,
        "label": cell.method.title,
        "seed": cell.seed,
        "date": "2026-01-02",
        "data": {"spec": tiny.SPEC, "split": "test", "pairs": 60, "classes": 12},
        "trained_on": ["train", 240],
        "starts_from": None,
        "preset": "emoji",
        "settings": {"epochs": 5},
        "epochs": 5,
        "precision": "fp32",
        "seconds": 100.0,
        "seconds_before": 0.0,
        "seconds_other": 20.0,
        "pairs_per_second": 12.0,
        "zero_shot": {"top1": 0.5, "top5": 0.8, "n": 58, "ci95": [0.4, 0.6], "classes": 12},
        "retrieval": {"mean_r5": 0.3},
        "linear_probe": None,
        "detection": None,
        "attacks": [attack(label, k, n) for label, (k, n) in hits.items()],
        "splits": [],
        "machine": MACHINE,
        "shape": cell.shape,
    }
    return made | other


def split(inside: dict[str, int], total: int = 192, epoch: int = 5) -> dict[str, Any]:
    return {"epoch": epoch, "safe_share": 0.8, "planted_by_attack": {name: [k, total] for name, k in inside.items()}}


class Laboratory:
    """Takes the place of training and evaluation.

    hits: (method, attack, seed) -> k of 100; 90 for plain CLIP and 2 for the others where nothing is said. trouble: run
    by each training between its checkpoint and its end. runs: (method, seed, resume) of each training begun.
    """

    def __init__(self) -> None:
        self.hits: dict[tuple[str, str, int], int] = {}
        self.trouble: Callable[[RunConfig], None] = lambda config: None
        self.runs: list[tuple[str, int, bool]] = []
        self.configs: list[RunConfig] = []
        self.by_folder: dict[Path, RunConfig] = {}

    def train(self, config: RunConfig, out: Path, *, quiet: bool = False) -> RunDir:
        run = RunDir(out)
        run.create(replace(config, model=replace(config.model, precision="fp32")))
        append_line(run.log_file, {"event": "start", "method": config.method, "pairs": 240})
        return self._go_on(run, config, resumed=False)

    def resume(self, out: Path, *, quiet: bool = False) -> RunDir:
        run = RunDir(out)
        assert (run.checkpoints / "latest").is_file(), "there is something to go on from"
        return self._go_on(run, run.config(), resumed=True)

    def _go_on(self, run: RunDir, config: RunConfig, resumed: bool) -> RunDir:
        self.runs.append((config.method, config.seed, resumed))
        self.configs.append(config)
        self.by_folder[run.path] = config
        for name in ("state.json", "model.safetensors"):
            write_text(run.checkpoints / "epoch-001" / name, "{}")
        write_text(run.checkpoints / "latest", "epoch-001\n")
        self.trouble(config)
        for epoch in range(1, config.epochs + 1):
            append_line(run.log_file, {"event": "epoch", "epoch": epoch, "pairs": 240, "seconds": 2.0})
        if config.method == "safeclip" and config.manifest is not None:
            names = [about["name"] for about in Manifest.load(config.manifest).attacks]
            append_line(run.split_file, split(dict.fromkeys(names, 1), total=8))
        append_line(run.log_file, {"event": "end", "seconds": 2.0 * config.epochs})
        return run

    def evaluate(self, path: Path, *, split: str, manifest: Path | None) -> dict[str, Any]:
        config = self.by_folder[path]
        planted = [] if manifest is None else Manifest.load(manifest).attacks
        attacks = []
        for about in planted:
            k = self.hits.get((config.method, about["name"], config.seed), 90 if config.method == "clip" else 2)
            own = attack(about["name"], k, 100, kind=about["kind"], target_class=about["target_class"], examples=[1])
            attacks.append({name: own[name] for name in own if name not in ("label", "count", "rate", "params")})
        metrics = {
            "data": {"spec": config.data.spec, "split": split, "pairs": 60, "classes": 12},
            "zero_shot": {"top1": 0.5, "top5": 0.8, "n": 58, "ci95": [0.4, 0.6], "classes": 12},
            "retrieval": {"mean_r5": 0.3},
            "attack": attacks,
        }
        write_json(RunDir(path).metrics_file, metrics)
        return metrics


def laboratory(patch: pytest.MonkeyPatch) -> Laboratory:
    made = Laboratory()
    patch.setattr(measure, "train", made.train)
    patch.setattr(measure, "resume", made.resume)
    patch.setattr(measure, "evaluate_run", made.evaluate)
    return made
