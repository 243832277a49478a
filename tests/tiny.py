"""The smallest run that has every phase and every signal: some seconds on one core.

All settings that shape it are here, so that it stays as it is whatever becomes of the presets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safeclip import cli
from safeclip.attacks.catalog import plan
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.targeted import plan_targeted
from safeclip.config import RunConfig, override
from safeclip.data.sources import open_source
from safeclip.presets import preset

SPEC = "emoji:pairs=240,concepts=12,eval_pairs=60"
SETTINGS: dict[str, Any] = {
    "preset": "emoji",
    "data.spec": SPEC,
    "epochs": 5,
    "model.name": "safeclip-emoji",
    "model.precision": "fp32",
    "optim.batch_size": 40,
    "optim.rate": 2e-3,
    "optim.unimodal_rate": 1e-3,
    "optim.warmup_share": 0.1,
    "keep_checkpoints": 9,
    "evaluate": False,
    "safeclip.warmup_epochs": 1,
    "safeclip.align_epochs": 1,
    "safeclip.pool_share": 0.2,
    "safeclip.share_first": 0.3,
    "safeclip.growth": 0.15,
    "safeclip.share_cap": 0.9,
    "safeclip.risk": ["cosine", "neighbours"],
    "safeclip.veto": ["copies"],
    "safeclip.scoring": "running",
    "safeclip.order": "mixed",
}
STEPS = 6
"""Batches of an epoch that reads every pair for one objective."""


def config(changes: dict[str, Any] | None = None) -> RunConfig:
    return override(preset("emoji"), SETTINGS | (changes or {}))


def plant(file: Path) -> Path:
    source = open_source(SPEC, split="train")
    targeted = plan_targeted(source, open_source(SPEC, split="test"), targets_count=2, captions_each=4, seed=0)
    patched = plan("badnets", source, seed=0, avoid=targeted.uids, count=8, least=8)
    Manifest.combine([targeted, patched]).save(file)
    return file


def arguments(out: Path, manifest: Path | None = None, changes: dict[str, Any] | None = None) -> list[str]:
    """Of `safeclip train`, for this run."""
    settings = {name: value for name, value in SETTINGS.items() if name != "preset"} | (changes or {})
    given = [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    planted = [] if manifest is None else ["--manifest", str(manifest)]
    return ["train", "--preset", SETTINGS["preset"], "--out", str(out), "--quiet", *planted, *given]


def train(out: Path, manifest: Path | None = None, changes: dict[str, Any] | None = None) -> int:
    return cli.main(arguments(out, manifest, changes))


def resume(out: Path) -> int:
    return cli.main(["train", "--resume", "--out", str(out), "--quiet"])
