"""Scores of the training steps against a pass of its own: do they put the pairs in the same order, and the planted ones
at its end?

    python bench/scoring.py --out runs/scoring        SafeCLIP under BadNets on the built-in pictures, 3 seeds; minutes

Each run splits by running scores; at the splits compared, the towers as they then stood embed every pair once more,
clean: the fresh scores. Prints, and writes to bench/results/scoring.json: the rank correlation (Spearman) of each
signal, and the share of planted pairs among the tenth of the pairs that are riskiest, by either. What the two do to
attacks is in bench/variants.yaml. Runs in DIR that are finished are not trained again.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy.stats import spearmanr

from safeclip.attacks.manifest import Manifest
from safeclip.bench.grid import Cell, grid
from safeclip.bench.measure import plant
from safeclip.bench.presets import threats
from safeclip.data.read import Reader
from safeclip.data.sources import open_pairs, without_folders
from safeclip.evaluate.run import load_run
from safeclip.model.embed import Embedder
from safeclip.run import RunDir, machine, write_json
from safeclip.signals.copies import copy_groups, perceptual_hashes
from safeclip.signals.neighbours import neighbour_agreement
from safeclip.split import risk_of
from safeclip.train.loop import train

RESULTS = Path(__file__).parent / "results"
SEEDS, ATTACK = (0, 1, 2), "badnets"
EPOCHS = (3, 4, 6, 8, 12, 16)
"""Splits compared: the first, which follows the alignment, and later ones."""
RISKIEST = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    spec = threats()[0]
    attacks = tuple(group for group in spec.attacks if group[0].title == ATTACK)
    settings = {"data": without_folders(spec.data.spec), "attack": ATTACK, "seeds": len(SEEDS), "seed": SEEDS[0]}
    record: dict[str, Any] = {"machine": machine(), "threads": torch.get_num_threads(), "settings": settings | spec.set}
    record["runs"] = []
    for cell in grid(replace(spec, attacks=attacks, seeds=SEEDS)):
        if cell.method.title != "safeclip":
            continue
        run, planted = trained(cell, args.out)
        found = {str(epoch): compared(run, epoch, planted) for epoch in EPOCHS}
        record["runs"].append({"seed": cell.seed, "attack": ATTACK, "planted": len(planted.uids), "splits": found})
        for epoch, about in found.items():
            print(f"seed {cell.seed}, epoch {epoch}: {about}", flush=True)
        write_json(RESULTS / "scoring.json", record)


def trained(cell: Cell, out: Path) -> tuple[RunDir, Manifest]:
    """The cell's run, with a checkpoint of every epoch, and what was planted."""
    manifest, run = plant(cell, out), RunDir(out / f"seed-{cell.seed}")
    assert manifest is not None
    if not (run.config_file.is_file() and any(line["event"] == "end" for line in run.log())):
        shutil.rmtree(run.path, ignore_errors=True)
        train(replace(cell.config, manifest=str(manifest), keep_checkpoints=cell.config.epochs), run.path)
    return run, Manifest.load(manifest)


def compared(run: RunDir, epoch: int, manifest: Manifest) -> dict[str, float]:
    """Running scores, as the split of `epoch` had them, against fresh ones of the towers at its start."""
    config, split = run.config(), pq.read_table(run.scores_file(epoch))
    uids = split["uid"].to_numpy()
    running = {"cosine": split["similarity"].to_numpy(), "neighbours": split["neighbours"].to_numpy()}
    reader = Reader(open_pairs(config.data, config.data.split), config.data, manifest, short_side=64)
    pairs = [reader.read(uid) for uid in uids.tolist()]
    embedder = Embedder(load_run(run.path, f"epoch-{epoch - 1:03d}"), torch.device("cpu"))
    image, text = embedder.images([picture for picture, _ in pairs]), embedder.texts([texts[0] for _, texts in pairs])
    groups = copy_groups(perceptual_hashes([picture for picture, _ in pairs]))
    agreement = neighbour_agreement(image, text, k=config.safeclip.neighbours, groups_N=groups)
    fresh = {"cosine": (image * text).sum(1).numpy(), "neighbours": agreement}
    planted = np.isin(uids, manifest.uids)
    found = {f"correlation_{name}": float(spearmanr(running[name], fresh[name])[0]) for name in running}
    for kind, scores in (("running", running), ("fresh", fresh)):
        risk = risk_of(scores)
        found[f"recall_{kind}"] = float((risk >= np.quantile(risk, 1 - RISKIEST))[planted].mean())
    return found


if __name__ == "__main__":
    main()
