"""One run of a bench: plant its attacks, train, evaluate, and say all of it in one record.

    DIR/manifests/<hash>.parquet   what was planted; the methods of one attack and seed share it
    DIR/runs/<id>/                 the run directory

What must stay true: a run that was killed goes on from its checkpoint, and a record is plain JSON that names no folder
of the machine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from safeclip.attacks.catalog import plan
from safeclip.attacks.manifest import Manifest
from safeclip.bench.claims import alone
from safeclip.bench.grid import Cell, flat, of_others
from safeclip.config import to_dict
from safeclip.data.sources import open_classed, without_folders
from safeclip.errors import RunError
from safeclip.evaluate.run import evaluate_run
from safeclip.presets import preset
from safeclip.run import RunDir
from safeclip.train import checkpoint
from safeclip.train.loop import resume, train

Record = dict[str, Any]
_SAID = (
    "preset",
    "method",
    "seed",
    "manifest",
    "evaluate",
    "keep_checkpoints",
    "checkpoint_minutes",
    "tensorboard",
    "model.weights",
    "data.spec",
    "data.split",
    "data.eval_split",
    "data.image_root",
    "data.workers",
    "data.cache_mib",
)
"""Settings that a record says elsewhere, or that are this machine's own."""


def measure(cell: Cell, folder: Path, *, before: Record | None, quiet: bool = False) -> Record:
    """Do the cell's run under `folder` and return its record. before: the record of the run that it starts from.

    Raises InputError, RunError.
    """
    started = time.monotonic()
    manifest = plant(cell, folder)
    run = RunDir(run_folder(cell, folder))
    config = cell.config
    if cell.start is not None:
        weights = weights_of(cell.start, folder)
        if weights is None:
            raise RunError(f"starts from {cell.start.method.title}, whose run left no weights; run that one first")
        config = replace(config, model=replace(config.model, weights=str(weights)))
    if manifest is not None and config.data.split == cell.poisoned:
        config = replace(config, manifest=str(manifest))
    planted = time.monotonic()
    if begun(cell, folder):
        resume(run.path, quiet=quiet)
    else:
        shutil.rmtree(run.path, ignore_errors=True)  # without a checkpoint nothing in it is worth keeping
        train(config, run.path, quiet=quiet)
    trained = time.monotonic()
    metrics = evaluate_run(run.path, split=config.data.eval_split, manifest=manifest)
    other = planted - started + time.monotonic() - trained
    return record_of(cell, run, metrics, Manifest.load(manifest) if manifest is not None else None, before, other)


def plant(cell: Cell, folder: Path) -> Path | None:
    """The manifest file of the cell's attacks, planned where it is not there yet; None without an attack."""
    if not cell.attacks:
        return None
    wanted = {name: value for name, value in cell.shape.items() if name.startswith("attack.")}
    wanted |= {name: value for name, value in _data_of(cell).items() if value != cell.usual.get(name)}
    text = json.dumps([cell.seed, [attack.title for attack in cell.attacks], wanted], sort_keys=True)
    file = folder / "manifests" / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.parquet"
    with alone(folder, file.stem):
        if not file.is_file():
            _plan(cell, file)
    return file


def _plan(cell: Cell, file: Path) -> None:
    data = cell.config.data
    source, targets = (open_classed(data, split) for split in (cell.poisoned, data.eval_split))
    parts: list[Manifest] = []
    for attack in cell.attacks:
        taken = [uid for part in parts for uid in part.uids.tolist()]
        own: dict[str, Any] = {"seed": cell.seed, "avoid": taken, "title": attack.title, **attack.params}
        parts.append(plan(attack.name, source, targets, **own))
    Manifest.combine(parts).save(file)


def _data_of(cell: Cell) -> dict[str, Any]:
    """Which data the attacks are planned on, and how it is read: without what a method trains on."""
    own = ("data.trained", "data.split", "data.eval_split")  # data.poisoned and data.evaluated name the splits
    return {name: value for name, value in cell.shape.items() if name.startswith("data.") and name not in own}


def run_folder(cell: Cell, folder: Path) -> Path:
    return folder / "runs" / cell.id


def weights_of(cell: Cell, folder: Path) -> Path | None:
    """The weights that the cell's run left, None where there are none, or where it has not ended."""
    run = RunDir(run_folder(cell, folder))
    newest, log = checkpoint.latest(run.checkpoints), run.log()
    return newest / "model.safetensors" if newest is not None and log and log[-1]["event"] == "end" else None


def begun(cell: Cell, folder: Path) -> bool:
    """Whether a run of the cell has left a checkpoint to go on from."""
    run = RunDir(run_folder(cell, folder))
    return run.config_file.is_file() and checkpoint.latest(run.checkpoints) is not None


def record_of(
    cell: Cell, run: RunDir, metrics: dict[str, Any], manifest: Manifest | None, before: Record | None, other: float
) -> Record:
    """Everything that the results say of a run. other: seconds spent on it outside training."""
    config, log, splits = run.config(), run.log(), run.splits()
    epochs = [line for line in log if line["event"] == "epoch"]
    seconds = next(line for line in reversed(log) if line["event"] == "end")["seconds"]
    names = {attack.title: attack.name for attack in cell.attacks}
    known = {about["name"]: about for about in manifest.attacks} if manifest is not None else {}
    attacks, unmeasured = [], {}
    for found in metrics["attack"]:
        if found["asr"] is None:
            unmeasured[found["name"]] = found["why"]
            continue
        about = known[found["name"]]
        measured = {key: value for key, value in found.items() if key not in ("name", "examples")}
        planned = {"count": about["count"], "rate": about["rate"], "params": about.get("params", {})}
        attacks.append({"name": names[found["name"]], "label": found["name"], **measured, **planned})
    return {
        "id": cell.id,
        "bench": cell.bench,
        "group": cell.group,
        "method": config.method,
        "label": cell.method.title,
        "seed": config.seed,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "data": metrics["data"] | {"spec": without_folders(config.data.spec)},
        "trained_on": [config.data.split, log[0]["pairs"]],
        "starts_from": None if cell.start is None else cell.start.id,
        "preset": config.preset,
        "settings": differences(cell),
        "epochs": config.epochs,
        "precision": config.model.precision,
        "seconds": seconds,
        "seconds_before": 0.0 if before is None else before["seconds"] + before["seconds_before"],
        "seconds_other": other,
        "pairs_per_second": sum(line["pairs"] for line in epochs) / seconds if seconds else None,
        "zero_shot": metrics["zero_shot"],
        "retrieval": metrics["retrieval"],
        "linear_probe": metrics.get("linear_probe"),
        "detection": metrics.get("detection"),
        "attacks": attacks,
        "unmeasured": unmeasured,
        "splits": [{name: line.get(name) for name in ("epoch", "safe_share", "planted_by_attack")} for line in splits],
        "machine": run.made_with(),
        "shape": cell.shape,
    }


def differences(cell: Cell) -> dict[str, Any]:
    """Dotted settings that are not the training preset's, without the sections of other methods."""
    usual, own = flat(to_dict(preset(cell.config.preset))), flat(to_dict(cell.config))
    others = of_others(cell.config.method)
    said = {name: value for name, value in own.items() if name not in _SAID and not name.startswith(others)}
    return {name: value for name, value in said.items() if value != usual[name]}
