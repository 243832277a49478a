"""The effect, on real artwork: plain CLIP takes planted pairs and SafeCLIP does not. About a minute on 2 cores.

All settings that shape the runs are here, so that the test stays as it is whatever becomes of the presets.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safeclip.attacks.targeted import plan_targeted
from safeclip.config import override
from safeclip.data.sources import open_source
from safeclip.evaluate.run import evaluate_run
from safeclip.presets import preset
from safeclip.train.loop import train

TARGETS = 6
SETTINGS: dict[str, Any] = {
    "data.spec": "emoji:concepts=20,pairs=1000,eval_pairs=300",
    "epochs": 18,
    "model.name": "safeclip-emoji",
    "optim.batch_size": 32,
    "optim.rate": 2e-3,
    "optim.unimodal_rate": 4e-4,
    "safeclip.warmup_epochs": 1,
    "safeclip.align_epochs": 1,
    "safeclip.share_first": 0.3,
    "safeclip.growth": 0.08,
    "safeclip.share_cap": 0.85,
    "safeclip.risk": ["cosine", "neighbours"],
    "safeclip.veto": ["copies"],
    "safeclip.scoring": "running",
}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of both methods, on the same planted data. 22 captions for each of 6 held-out pictures."""
    folder: Path = tmp_path_factory.mktemp("effect")
    config = replace(override(preset("emoji"), SETTINGS), manifest=str(folder / "manifest.parquet"))
    source, targets = (open_source(config.data.spec, split=split) for split in ("train", "test"))
    plan_targeted(source, targets, targets_count=TARGETS, captions_each=22, seed=0).save(folder / "manifest.parquet")
    found = {}
    for method in ("clip", "safeclip"):
        run = train(replace(config, method=method), folder / method, quiet=True)
        found[method] = evaluate_run(run.path) | {"splits": run.splits()}
    return found


def test_plain_clip_takes_the_attack_and_safeclip_does_not(metrics: dict[str, dict[str, Any]]) -> None:
    (plain,), (defended,) = metrics["clip"]["attack"], metrics["safeclip"]["attack"]
    assert plain["n"] == defended["n"] == TARGETS
    assert plain["asr"] >= 0.8, "the attack did not plant, so the defence had nothing to withstand"
    assert defended["k"] <= 1


def test_the_defended_model_is_of_use(metrics: dict[str, dict[str, Any]]) -> None:
    plain, defended = (metrics[method]["zero_shot"]["top1"] for method in ("clip", "safeclip"))
    assert plain > 0.3, "chance is 5 %"
    assert defended >= 0.8 * plain


def test_no_planted_pair_is_safe_while_most_pairs_are(metrics: dict[str, dict[str, Any]]) -> None:
    last = metrics["safeclip"]["splits"][-1]
    assert last["planted_in_safe"] == 0
    assert last["planted_total"] == TARGETS * 22
    assert last["safe_share"] > 0.8
