"""What the veto on patterns catches, and which clean pairs it takes with it. Nothing is trained.

    python bench/patterns.py                              each image attack alone, on the embedded pictures
    python bench/patterns.py --clean parquet:FILE ...     also how many pictures of these sets, as they lie, it vetoes

Attacks are those of the bench `threats`, planted towards the validation split: the threshold was chosen from them. For
each: AUROC of the score, and the share of planted and of clean pairs vetoed, for several thresholds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from safeclip.attacks.catalog import ATTACKS, plan
from safeclip.attacks.manifest import Manifest
from safeclip.bench.presets import threats
from safeclip.bench.spec_file import without_folders
from safeclip.config import DataConfig
from safeclip.data.read import Reader
from safeclip.data.sources import open_pairs
from safeclip.run import machine, write_json
from safeclip.signals.patterns import outlying, shared_pattern, thumbnails

RESULTS = Path(__file__).parent / "results"
DEVIATIONS = (5.0, 8.0, 10.0, 15.0)
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clean", nargs="*", default=[], metavar="SPEC")
    parser.add_argument("--only", nargs="*", metavar="ATTACK")
    parser.add_argument("--into", type=Path, default=RESULTS / "patterns.json")
    args = parser.parse_args()
    spec = threats()[0]
    data = DataConfig(spec=spec.data.spec)
    source, targets = open_pairs(data, "train"), open_pairs(data, "val")
    record: dict[str, Any] = {"machine": machine(), "seed": SEED, "deviations": DEVIATIONS, "attacks": {}, "clean": {}}
    record["clean"][spec.data.spec] = vetoed_of(data)
    for clean in args.clean:
        record["clean"][without_folders(clean)] = vetoed_of(DataConfig(spec=clean))
    for (attack,) in spec.attacks:
        if ATTACKS[attack.name].kind != "backdoor" or (args.only and attack.title not in args.only):
            continue
        params = dict(attack.params)
        if attack.name == "label-consistent":
            params["count"] = 60  # of a class's 69 that may be planted here
        manifest = plan(attack.name, source, targets, seed=SEED, title=attack.title, **params)
        score = scores(data, manifest)
        planted = np.isin(np.arange(len(score)), manifest.uids)
        found: dict[str, Any] = {"planted": int(planted.sum()), "auroc": float(roc_auc_score(planted, score))}
        for deviations in DEVIATIONS:
            out = outlying(score, deviations)
            found[f"vetoed_{deviations:g}"] = {
                "planted": float(out[planted].mean()),
                "clean": float(out[~planted].mean()),
            }
        record["attacks"][attack.title] = found
        print(attack.title, found, flush=True)
    for name, found in record["clean"].items():
        print(name, found)
    write_json(args.into, record)


def scores(data: DataConfig, manifest: Manifest | None) -> np.ndarray:
    source = open_pairs(data, "train")
    reader = Reader(source, replace(data, cache_mib=0), manifest, short_side=64)
    return shared_pattern(thumbnails([reader.read(uid)[0] for uid in range(len(reader))]))


def vetoed_of(data: DataConfig) -> dict[str, float]:
    """Pairs of a set as it lies, and the share of them that each threshold vetoes."""
    score = scores(data, None)
    return {"pairs": len(score)} | {f"vetoed_{d:g}": float(outlying(score, d).mean()) for d in DEVIATIONS}


if __name__ == "__main__":
    main()
