"""What each attack's own test gives on models that never saw a planted pair: the floor that no defence can be held to
undercut. A trigger hides a picture, or makes it look like something else, also where nothing was planted for it.

    python bench/unplanted.py --out runs/unplanted      the attacks and data of the bench `threats`
    python bench/unplanted.py --out DIR --preset rsicd --data parquet:FILE  those of `rsicd`; or `flickr8k`
    python bench/unplanted.py --out DIR --only wanet-pixel --methods clip --seeds 0 1 --into FILE

Plain CLIP and SafeCLIP are trained on the data as it lies, three seeds, and asked for every attack, on the test split,
with the manifest that the bench plants. Prints, and writes to bench/results/unplanted.json, unplanted-rsicd.json or
unplanted-flickr8k.json: attack success, n, base rate and control, clean top-1 and retrieval. Runs in DIR that are
finished are not trained again; those of other methods and seeds stay in the file.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from safeclip.bench.grid import Cell, grid
from safeclip.bench.measure import plant
from safeclip.bench.presets import SEEDS, named
from safeclip.data.sources import without_folders
from safeclip.evaluate.run import evaluate_run
from safeclip.run import RunDir, machine, write_json
from safeclip.train.loop import train

RESULTS = Path(__file__).parent / "results"
METHODS = ("clip", "safeclip")
INTO = {"threats": "unplanted.json"} | {name: f"unplanted-{name}.json" for name in ("rsicd", "flickr8k")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="threats", choices=INTO)
    parser.add_argument("--data", metavar="SPEC")
    parser.add_argument("--only", nargs="*", metavar="ATTACK")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--into", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.only and not args.into:
        parser.error("--only measures some attacks: name a file for them with --into")
    into = args.into or RESULTS / INTO[args.preset]
    spec = replace(named(args.preset, data=args.data)[0], seeds=tuple(args.seeds))
    record = {"data": without_folders(spec.data.spec), "split": spec.data.eval_split, "set": spec.set}
    known(into, record)  # speaks up now, not after hours
    chosen = tuple(
        group for group in spec.attacks if not args.only or {attack.title for attack in group} & {*args.only}
    )
    cells = [cell for cell in grid(replace(spec, attacks=chosen)) if cell.method.title in args.methods]
    runs: dict[str, dict[str, Any]] = {}
    for cell in cells:
        name = f"{cell.method.title}-{cell.seed}"
        folder = args.out / name
        if name not in runs:
            runs[name] = trained(cell, folder)
        metrics = evaluate_run(folder, split=cell.config.data.eval_split, manifest=plant(cell, args.out), out=args.out)
        runs[name] |= {"top1": metrics["zero_shot"]["top1"], "recall": metrics["retrieval"]}
        for found in metrics["attack"]:
            kept = {key: found.get(key) for key in ("k", "n", "ci95", "base_rate", "true_class_rate", "control")}
            runs[name]["attacks"][found["name"]] = kept
            print(f"{name}, {found['name']}: {found['k']} of {found['n']}, base {found['base_rate']}", flush=True)
    every = known(into, record) | runs
    write_json(into, record | {"runs": [every[name] for name in sorted(every, key=lambda name: name.split("-")[::-1])]})


def known(file: Path, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The runs of the file, by name; none if it is not there. Ends where it is of other data or settings."""
    found = json.loads(file.read_text("utf-8")) if file.is_file() else record | {"runs": []}
    if other := [key for key, value in record.items() if found.get(key) != value]:
        raise SystemExit(f"{file}: is of another {other[0]}; name another file with --into")
    return {f"{run['method']}-{run['seed']}": run for run in found["runs"]}


def trained(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train the cell's method without the cell's attack, unless that was done."""
    run = RunDir(folder)
    if not (run.config_file.is_file() and any(line["event"] == "end" for line in run.log())):
        shutil.rmtree(folder, ignore_errors=True)
        train(cell.config, folder)
    about = {"method": cell.method.title, "seed": cell.seed, "epochs": cell.config.epochs}
    return about | {"machine": machine(), "attacks": {}}


if __name__ == "__main__":
    main()
