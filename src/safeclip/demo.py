"""The demo: the built-in pictures with two attacks planted, plain CLIP and SafeCLIP on the same data, one page.

DIR/manifest.parquet   what was planted
DIR/clip  DIR/safeclip the two runs
DIR/summary.json       one entry a run: method, attack, seed, accuracy, attack success, planted pairs in the safe set
DIR/report.html        the page
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from safeclip.attacks.catalog import plan
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.targeted import plan_targeted
from safeclip.config import RunConfig
from safeclip.data.sources import open_source
from safeclip.errors import InputError
from safeclip.evaluate.run import evaluate_run
from safeclip.presets import preset
from safeclip.report import write_report
from safeclip.run import RunDir, machine, write_json, writing
from safeclip.train.loop import train

METHODS = ("clip", "safeclip")
TARGETS, CAPTIONS_EACH, PATCHED, PATCH_PX = 16, 12, 120, 8


def demo(
    out: str | os.PathLike[str], *, seed: int = 0, epochs: int | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Run the demo into `out` and return its summary. Raises InputError where `out` holds one already."""
    folder = Path(out)
    if (folder / "summary.json").exists() or any((folder / method).exists() for method in METHODS):
        raise InputError(f"{folder}: holds a demo already; give another --out, or remove it")
    RunDir(folder).check_free()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    config = replace(preset("emoji"), seed=seed)
    if epochs is not None:
        config = replace(config, epochs=epochs)
    manifest_file = folder / "manifest.parquet"
    plant(config, seed).save(manifest_file)
    config = replace(config, manifest=str(manifest_file))
    for method in METHODS:
        train(replace(config, method=method), folder / method, quiet=quiet)
        evaluate_run(folder / method)
    result = summary([folder / method for method in METHODS], time.monotonic() - started)
    write_json(folder / "summary.json", result)
    write_report(folder)
    return result


def plant(config: RunConfig, seed: int) -> Manifest:
    """Targeted poisoning of held-out pictures, and a BadNets patch, in the training split."""
    source = open_source(config.data.spec, split="train")
    targeted = plant_targeted(config, seed)
    patched = plan("badnets", source, seed=seed, avoid=targeted.uids, count=PATCHED, least=PATCH_PX)
    return Manifest.combine([targeted, patched])


def plant_targeted(config: RunConfig, seed: int) -> Manifest:
    """Pictures of the evaluation split, each with captions of another class."""
    source = open_source(config.data.spec, split="train")
    targets = open_source(config.data.spec, split=config.data.eval_split)
    return plan_targeted(source, targets, targets_count=TARGETS, captions_each=CAPTIONS_EACH, seed=seed)


def summary(runs: list[Path], seconds: float) -> dict[str, Any]:
    """One entry a method and attack, from the runs' own files."""
    entries = []
    data: dict[str, Any] = {}
    for path in runs:
        run = RunDir(path)
        config, metrics, log, splits = run.config(), run.metrics(), run.log(), run.splits()
        if metrics is None:
            raise InputError(f"{path}: not evaluated yet; run `safeclip evaluate {path}`")
        trained = [line for line in log if line["event"] == "epoch"]
        spent = sum(line["seconds"] for line in trained)
        planted = splits[-1]["planted_by_attack"] if splits and splits[-1].get("planted_by_attack") else {}
        data = {"spec": config.data.spec, "train_pairs": log[0]["pairs"], "eval": metrics["data"]}
        zero_shot = metrics["zero_shot"] or {}
        for attack in metrics["attack"]:
            entries.append(
                {
                    "method": config.method,
                    "attack": attack["name"],
                    "seed": config.seed,
                    "epochs": config.epochs,
                    "seconds": spent,
                    "pairs_per_second": sum(line["pairs"] for line in trained) / spent,
                    "zero_shot_top1": zero_shot.get("top1"),
                    "zero_shot_top5": zero_shot.get("top5"),
                    "zero_shot_n": zero_shot.get("n"),
                    "asr": attack["asr"],
                    "asr_n": attack["n"],
                    "asr_ci95": attack["ci95"],
                    "base_rate": attack["base_rate"],
                    "planted_total": attack["planted"],
                    "planted_in_safe": planted.get(attack["name"], [None])[0],
                }
            )
    return {"seconds": seconds, "machine": machine(), "dataset": data, "runs": entries}
