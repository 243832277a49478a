"""What each veto is worth: the pairs that are kept out without it, and by it. Nothing is trained.

    python bench/ablation.py            attacks of every kind, each alone, three seeds; and none; an hour

Plants what the bench `prove-emoji` plants (test split), looks at the data once, and judges it by SafeCLIP's settings:
`whole`, `without` one veto or without sparing, and `each`, what one veto keeps out beside the others.
Without `texture` there is no `suspects` either, which reads its score. Prints the shares of planted and of clean pairs,
and writes them to bench/results/ablation.json; what is there already, by the same revision, is not done again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vetoes import look, shares

from safeclip.attacks.manifest import Manifest
from safeclip.bench.grid import Cell, grid
from safeclip.bench.measure import plant
from safeclip.bench.presets import prove_emoji
from safeclip.bench.spec import NO_ATTACK, AttackSpec
from safeclip.config import SafeclipConfig
from safeclip.methods.verdicts import SCORED, accused, conclude
from safeclip.run import machine, write_json
from safeclip.signals.copies import copy_groups, occurrences
from safeclip.signals.glance import Glance

INTO = Path(__file__).parent / "results" / "ablation.json"
CPU = torch.device("cpu")
ASKED = (
    *("none", "targeted", "targeted-scene", "near-copies", "badnets", "blended", "blended-graded", "blended-noise"),
    *("sig", "stripes", "written-word", "wanet-pixel", "label-consistent", "thing", "text-word", "text-sentence"),
)
"""Attacks, by their titles: of each kind what plants in plain CLIP."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", metavar="ATTACK", default=ASKED)
    parser.add_argument("--into", type=Path, default=INTO)
    args = parser.parse_args()
    spec = prove_emoji()[0]
    every = replace(spec, attacks=((AttackSpec(name=NO_ATTACK),), *spec.attacks))
    cells = [cell for cell in grid(every) if cell.method.title == "safeclip"]
    before = json.loads(args.into.read_text("utf-8")) if args.into.is_file() else {}
    runs: list[dict[str, Any]] = before["runs"] if before.get("machine") == machine() else []
    known = {(run["attack"], run["seed"]) for run in runs}
    for cell in cells:
        name = cell.group
        again = name == NO_ATTACK and cell.seed != spec.seeds[0]  # the same data
        if again or (name, cell.seed) in known or name not in args.only:
            continue
        runs.append({"attack": name, "seed": cell.seed, **ablated(cell)})
        print(runs[-1], flush=True)
        about = {"data": spec.data.spec, "seed": spec.seeds[0], "seeds": len(spec.seeds)}
        write_json(args.into, {"machine": machine(), "settings": about, "runs": runs})


def ablated(cell: Cell) -> dict[str, Any]:
    """Shares of planted and of clean pairs kept out: `whole`, `without` each veto, and by `each`."""
    own = cell.config.safeclip
    with tempfile.TemporaryDirectory() as folder:
        file = plant(cell, Path(folder))
        manifest = Manifest.load(file) if file is not None else None
    glance, planted = look(cell.config.data, manifest)
    scores = {name: veto.score(glance, CPU) for name, veto in SCORED.items()}
    at_first, _ = accused(glance, scores, own, CPU)
    whole = kept_out(glance, scores, own)
    without = {}
    for name, less in lessened(own).items():
        idle = name in at_first and not at_first[name].any()
        without[name] = shares(any_of(whole if idle else kept_out(glance, scores, less)), planted)
    by_each = {name: shares(out, planted) for name, out in whole.items()}
    return {
        "planted": int(planted.sum()),
        "whole": shares(any_of(whole), planted),
        "without": without,
        "each": by_each,
    }


def lessened(own: SafeclipConfig) -> dict[str, SafeclipConfig]:
    """The settings without each veto, and without sparing."""
    coupled = {"texture": ("texture", "suspects")}
    less = {name: [v for v in own.veto if v not in coupled.get(name, (name,))] for name in own.veto}
    return {name: replace(own, veto=tuple(rest)) for name, rest in less.items()} | {"spare": replace(own, spare=False)}


def kept_out(glance: Glance, scores: dict[str, np.ndarray], own: SafeclipConfig) -> dict[str, np.ndarray]:
    """By veto, bool (N,): the pairs that it bars."""
    barred = conclude(glance, scores, own, CPU).barred
    if "copies" in own.veto:
        barred["copies"] = occurrences(copy_groups(glance.hashes)) > own.copies_allowed
    return barred


def any_of(out: dict[str, np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.any([*out.values()], axis=0)
    return found


if __name__ == "__main__":
    main()
