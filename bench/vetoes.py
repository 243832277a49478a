"""What each veto catches, and which clean pairs it takes with it. Nothing is trained.

    python bench/vetoes.py                              each attack alone, on the embedded pictures
    python bench/vetoes.py --clean parquet:FILE ...     also how many pairs of these sets, as they lie, are vetoed

Attacks are those of the bench `threats`, planted towards the validation split: the thresholds were chosen from them.
For each attack and each score: AUROC, the share of planted and of clean pairs vetoed for several thresholds, and, as
`all`, by SafeCLIP's own settings together; and the seconds that a score took.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from safeclip.attacks.catalog import ATTACKS, plan
from safeclip.attacks.manifest import Manifest
from safeclip.bench.presets import threats
from safeclip.bench.spec_file import without_folders
from safeclip.config import DataConfig
from safeclip.data.read import Reader
from safeclip.data.sources import open_pairs
from safeclip.methods.vetoes import COLUMN, SCORES, against
from safeclip.presets import preset
from safeclip.run import machine, write_json
from safeclip.signals.copies import copy_groups, occurrences, perceptual_hashes
from safeclip.signals.glance import Glance
from safeclip.signals.thumbnails import thumbnails
from safeclip.signals.words import word_ids

RESULTS = Path(__file__).parent / "results"
OWN = preset("emoji").safeclip
LIMITS = {
    "renderings": (4.0, OWN.rendering_deviations, 8.0),
    "patterns": (6.0, OWN.pattern_deviations, 10.0),
    "shifts": (4.0, OWN.shift_deviations, 8.0),
    "texture": (2.0, OWN.texture_deviations, 3.0, 4.0),
    "words": (6.0, OWN.word_deviations, 10.0),
}
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clean", nargs="*", default=[], metavar="SPEC")
    parser.add_argument("--only", nargs="*", metavar="ATTACK")
    parser.add_argument("--into", type=Path, default=RESULTS / "vetoes.json")
    args = parser.parse_args()
    spec = threats()[0]
    data = DataConfig(spec=spec.data.spec)
    source, targets = open_pairs(data, "train"), open_pairs(data, "val")
    record: dict[str, Any] = {
        "machine": machine(),
        "seed": SEED,
        "settings": {k: v for k, v in asdict(OWN).items() if k.endswith("deviations")},
        "attacks": {},
        "clean": {},
    }
    record["clean"][spec.data.spec] = measure(data, None)
    for clean in args.clean:
        record["clean"][without_folders(clean)] = measure(DataConfig(spec=clean), None)
    for name, found in record["clean"].items():
        print(name, found, flush=True)
    for (attack,) in spec.attacks:
        if args.only and attack.title not in args.only:
            continue
        params = dict(attack.params)
        if attack.name == "label-consistent":
            params["count"] = 60  # of a class's 69 that may be planted here
        targeted = targets if ATTACKS[attack.name].kind == "targeted" else None
        manifest = plan(attack.name, source, targeted, seed=SEED, title=attack.title, **params)
        record["attacks"][attack.title] = measure(data, manifest)
        print(attack.title, record["attacks"][attack.title], flush=True)
        write_json(args.into, record)


def measure(data: DataConfig, manifest: Manifest | None) -> dict[str, Any]:
    """Of each score, and of all vetoes together: the shares of planted and of clean pairs that they keep out."""
    reader = Reader(open_pairs(data, "train"), replace(data, cache_mib=0), manifest, short_side=64)
    pairs = [reader.read(uid) for uid in range(len(reader))]
    small = thumbnails([picture for picture, _ in pairs])
    hashes = perceptual_hashes([picture for picture, _ in pairs])
    glance = Glance(hashes, small, np.stack([word_ids(texts) for _, texts in pairs]))
    planted = np.isin(np.arange(len(pairs)), manifest.uids if manifest is not None else [])
    together = occurrences(copy_groups(hashes)) > OWN.copies_allowed
    found: dict[str, Any] = {"pairs": len(pairs), "planted": int(planted.sum()), "copies": shares(together, planted)}
    for name, score_of in SCORES.items():
        start = time.process_time()
        score = score_of(glance, torch.device("cpu"))
        found[name] = {"cpu_seconds": round(time.process_time() - start, 2)}
        if planted.any():
            found[name]["auroc"] = float(roc_auc_score(planted, score))
        for limit in LIMITS[name]:
            stricter = replace(OWN, **{f"{COLUMN[name]}_deviations": limit})
            found[name][f"above_{limit:g}"] = shares(against(name, score, stricter), planted)
        together |= against(name, score, OWN)
    return found | {"all": shares(together, planted)}


def shares(out: np.ndarray, planted: np.ndarray) -> dict[str, float | None]:
    return {
        "planted": float(out[planted].mean()) if planted.any() else None,
        "clean": float(out[~planted].mean()),
    }


if __name__ == "__main__":
    main()
