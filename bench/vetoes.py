"""What each veto catches, and which clean pairs it takes with it. Nothing is trained.

    python bench/vetoes.py                              each attack alone, on the built-in pictures
    python bench/vetoes.py --clean parquet:FILE ...     also how many pairs of these sets, as they lie, are vetoed
    python bench/vetoes.py --photos parquet:FILE        instead, the attacks of the bench `rsicd` and some more on these
                                                        photographs, by the settings of `small64`

    python bench/vetoes.py --seed 7 --into FILE         other classes, victims and patterns than the thresholds were
                                                        chosen from

Attacks are those of the bench `threats`; target pictures are of the validation split. Thresholds were chosen from seed
0: vetoes look at training pairs alone, so those are the very pairs that the benches plant with that seed.
For each attack and each score: AUROC, the share of planted and of clean pairs vetoed for several thresholds, and the
seconds that it took. Then the shares by SafeCLIP's own settings together: `all`, `all_but_spared` less the pairs that
these spare and those of `texture` that it does not find together, `suspects` those that are looked at again and vetoed,
and all that are vetoed `in_the_end`. `overlays` are pairs that bear one, and of those that the score of `patterns` is
against, how much of a second pattern they have.
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
from safeclip.bench.presets import rsicd, threats
from safeclip.bench.spec import AttackSpec
from safeclip.config import DataConfig, SafeclipConfig
from safeclip.data.read import Reader
from safeclip.data.sources import open_pairs, without_folders
from safeclip.methods.verdicts import SCORED, SPARING, accused, spared, suspected, together
from safeclip.model.build import build
from safeclip.presets import preset
from safeclip.run import machine, write_json
from safeclip.signals.copies import perceptual_hashes
from safeclip.signals.glance import Glance
from safeclip.signals.overlays import overlays
from safeclip.signals.texture import textures
from safeclip.signals.thumbnails import thumbnails
from safeclip.signals.words import words_and_ends

RESULTS = Path(__file__).parent / "results"
OWN = preset("small64").safeclip
"""Of `emoji` too: one method on drawings and photographs."""
LIMITS = {
    "renderings": (4.0, OWN.rendering_deviations, 8.0),
    "patterns": (6.0, OWN.pattern_deviations, 10.0),
    "shifts": (4.0, OWN.shift_deviations, 8.0),
    "texture": (2.0, OWN.texture_deviations, 3.0, 4.0),
    "words": (6.0, OWN.word_deviations, 10.0),
}
GRADED = {"count": 160, "alpha": 0.4, "weakest": 0.05}
FAINT = {"count": 150, "alpha": 0.15}
MORE = (
    AttackSpec(name="targeted-scene"),
    AttackSpec(name="badnets", label="moving, true captions", params={"count": 72, "label": "clean"}),
    AttackSpec(name="blended-graded", params=GRADED),
    AttackSpec(name="blended-graded", label="graded, towards port", params={**GRADED, "target_class": "port"}),
    AttackSpec(name="blended-graded", label="graded, down to 0.01", params={**GRADED, "count": 240, "weakest": 0.01}),
    *(
        AttackSpec(name="blended", label=f"blended at 0.15, pattern {i}", params={**FAINT, "pattern_seed": i})
        for i in range(3)
    ),
    AttackSpec(name="blended", label="blended at 0.1", params={"count": 240, "alpha": 0.1}),
    AttackSpec(name="written-word"),
)
"""On photographs, beside the attacks of the bench: what sparing might let through. Blended's pattern makes pictures
look like RSICD's class *port*."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clean", nargs="*", default=[], metavar="SPEC")
    parser.add_argument("--only", nargs="*", metavar="ATTACK")
    parser.add_argument("--photos", metavar="SPEC")
    parser.add_argument("--into", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.only and not args.into:
        parser.error("--only measures some: name a file for them with --into")
    into = args.into or RESULTS / ("vetoes-photos.json" if args.photos else "vetoes.json")
    spec = rsicd()[0] if args.photos else threats()[0]
    data = DataConfig(spec=args.photos or spec.data.spec)
    source, targets = open_pairs(data, "train"), open_pairs(data, "val")
    record: dict[str, Any] = {
        "machine": machine(),
        "seed": args.seed,
        "settings": {k: v for k, v in asdict(OWN).items() if k.endswith("deviations") or k == "spare"},
        "attacks": {},
        "clean": {},
    }
    record["clean"][without_folders(data.spec)] = measure(data, None, OWN)
    for clean in args.clean:
        record["clean"][without_folders(clean)] = measure(DataConfig(spec=clean), None, OWN)
    for name, found in record["clean"].items():
        print(name, found, flush=True)
    for attack in [attack for group in spec.attacks for attack in group] + [*(MORE if args.photos else ())]:
        if args.only and attack.title not in args.only:
            continue
        params = dict(attack.params)
        if attack.name == "label-consistent" and not args.photos:
            params["count"] = 60  # of a class's 69 that may be planted here
        if args.seed and "pattern_seed" in ATTACKS[attack.name].params:
            params["pattern_seed"] = args.seed
        targeted = targets if ATTACKS[attack.name].kind == "targeted" else None
        manifest = plan(attack.name, source, targeted, seed=args.seed, title=attack.title, **params)
        record["attacks"][attack.title] = measure(data, manifest, OWN)
        print(attack.title, record["attacks"][attack.title], flush=True)
        write_json(into, record)


def measure(data: DataConfig, manifest: Manifest | None, own: SafeclipConfig) -> dict[str, Any]:
    """Of each score, and of all vetoes together: the shares of planted and of clean pairs that they keep out."""
    glance, planted = look(data, manifest)
    found: dict[str, Any] = {"pairs": len(planted), "planted": int(planted.sum())}
    score: dict[str, np.ndarray] = {}
    for name, veto in SCORED.items():
        start = time.process_time()
        score[name] = veto.score(glance, torch.device("cpu"))
        found[name] = {"cpu_seconds": round(time.process_time() - start, 2)}
        if planted.any():
            found[name]["auroc"] = float(roc_auc_score(planted, score[name]))
        for limit in LIMITS[name]:
            found[name][f"above_{limit:g}"] = shares(veto.bars(score[name], limit, glance), planted)
    out, laid_over = accused(glance, score, own, torch.device("cpu"))
    found["copies"] = shares(out["copies"], planted)
    by_pattern = SCORED["patterns"].bars(score["patterns"], own.pattern_deviations, glance)
    _, second = overlays(glance.thumbnails, by_pattern)
    found["overlays"] = shares(laid_over, planted) | {"second": _second(second, by_pattern, planted)}
    found["all"] = shares(np.any([*out.values()], axis=0), planted)
    again = suspected(glance, out, score["texture"], own)
    kept = spared(glance, out, laid_over, own, torch.device("cpu"))
    out |= {name: out[name] & ~kept for name in SPARING}
    out["texture"] &= together(glance, out["texture"], score["texture"], own)
    found["all_but_spared"] = shares(np.any([*out.values()], axis=0), planted)
    found["suspects"] = shares(again, planted)
    found["in_the_end"] = shares(np.any([*out.values(), again], axis=0), planted)
    return found


def look(data: DataConfig, manifest: Manifest | None) -> tuple[Glance, np.ndarray]:
    """What a run would see of these pairs, and bool (N,): which ones are planted."""
    reader = Reader(open_pairs(data, "train"), replace(data, cache_mib=0), manifest, short_side=64)
    pairs = [reader.read(uid) for uid in range(len(reader))]
    pictures = [picture for picture, _ in pairs]
    told = build(preset("emoji" if data.spec.startswith("emoji:") else "small64").model).tokenize.told
    said = np.stack([words_and_ends(*zip(*map(told, texts), strict=True)) for _, texts in pairs])
    glance = Glance(perceptual_hashes(pictures), thumbnails(pictures), textures(pictures), said[:, 0], said[:, 1])
    return glance, np.isin(np.arange(len(pairs)), manifest.uids if manifest is not None else [])


def _second(second_N: np.ndarray, barred: np.ndarray, planted: np.ndarray) -> dict[str, float | None]:
    """Of planted pairs that `patterns` is against the usual r, of clean ones the least."""
    of_planted, of_clean = second_N[barred & planted], second_N[barred & ~planted]
    return {
        "planted_median": float(np.median(of_planted)) if len(of_planted) else None,
        "clean_least": float(of_clean.min()) if len(of_clean) else None,
    }


def shares(out: np.ndarray, planted: np.ndarray) -> dict[str, float | None]:
    return {
        "planted": float(out[planted].mean()) if planted.any() else None,
        "clean": float(out[~planted].mean()),
    }


if __name__ == "__main__":
    main()
