"""Plain CLIP and SafeCLIP on the embedded pictures, poisoned: what each setting costs and what it stops.

    python bench/emoji.py --split test --seeds 0 1 2                         the figures in the README
    python bench/emoji.py --split val --methods safeclip --set safeclip.growth=0.1 --label fast

One record a run is appended to bench/results/emoji-SPLIT.json as soon as the run ends. Tune on `val`, report on `test`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from safeclip.attacks.backdoor import plan_badnets
from safeclip.attacks.manifest import Manifest
from safeclip.config import override
from safeclip.data.sources import open_source
from safeclip.demo import plant, plant_targeted
from safeclip.evaluate.run import evaluate_run
from safeclip.presets import preset
from safeclip.run import RunDir, machine, write_json
from safeclip.train.loop import train

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--methods", nargs="+", default=["clip", "safeclip"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--label", default="preset")
    parser.add_argument("--patch", action="append", default=[], metavar="PX:COUNT", help="backdoors in place of the demo's")
    args = parser.parse_args()
    for seed in args.seeds:
        for method in args.methods:
            print(json.dumps(record(args, method, seed)), flush=True)


def record(args: argparse.Namespace, method: str, seed: int) -> dict[str, Any]:
    changes = {name: yaml.safe_load(value) for name, _, value in (setting.partition("=") for setting in args.settings)}
    config = override(preset("emoji"), {**changes, "data.eval_split": args.split})
    config = replace(config, method=method, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "manifest.parquet"
        (plant(config, seed) if not args.patch else plant_patches(config, seed, args.patch)).save(file)
        run = train(replace(config, manifest=str(file)), Path(folder) / "run", quiet=True)
        metrics = evaluate_run(run.path)
        result = {"label": args.label, "settings": args.settings, "split": args.split, "method": method, "seed": seed}
        result |= {"epochs": config.epochs, "zero_shot": metrics["zero_shot"], "attack": metrics["attack"]}
        result["seconds"] = sum(line["seconds"] for line in run.log() if line["event"] == "epoch")
        result["safe_share"] = [round(line["safe_share"], 3) for line in run.splits()]
        result["planted_in_safe"] = [line["planted_by_attack"] for line in run.splits()]
        result["machine"] = machine()
    for attack in result["attack"]:
        del attack["examples"]
    target = RESULTS / f"emoji-{args.split}.json"
    records = json.loads(target.read_text()) if target.exists() else []
    write_json(target, [*records, result])
    return result


def plant_patches(config: Any, seed: int, patches: list[str]) -> Manifest:
    source = open_source(config.data.spec, split="train")
    parts = [plant_targeted(config, seed)]
    for patch in patches:
        px, count = (int(part) for part in patch.split(":"))
        taken = [uid for part in parts for uid in part.uids.tolist()]
        name = f"badnets-{px}px-{count}"
        parts.append(plan_badnets(source, count=count, least=px, seed=seed, avoid=taken, name=name))
    return Manifest.combine(parts)


if __name__ == "__main__":
    main()
