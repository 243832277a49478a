"""Plain CLIP and SafeCLIP on the built-in pictures, poisoned: what each setting costs and what it stops.

    python bench/emoji.py --split test --seeds 0 1 2                         trials of whole defaults
    python bench/emoji.py --split val --methods safeclip --set safeclip.growth=0.1 --label fast

One record a run is appended to bench/results/emoji-SPLIT.json as soon as the run ends: the first trials of docs/lab.md
are in emoji-val.json. The tables are of `safeclip bench`. Tune on `val`, report on `test`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from safeclip.attacks.catalog import plan
from safeclip.attacks.manifest import Manifest
from safeclip.config import override, read_yaml, to_dict
from safeclip.data.sources import open_source
from safeclip.demo import plant, plant_targeted
from safeclip.evaluate.run import evaluate_run
from safeclip.presets import preset
from safeclip.run import RunDir, write_json
from safeclip.train.loop import train

RESULTS = Path(__file__).parent / "results"
SAID = ("method", "seed", "epochs", "manifest", "keep_checkpoints", "data.spec", "data.eval_split", "model.precision")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--methods", nargs="+", default=["clip", "safeclip"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--label", default="preset")
    parser.add_argument(
        "--patch", action="append", default=[], metavar="PX:COUNT", help="instead of the demo's backdoor"
    )
    args = parser.parse_args()
    for seed in args.seeds:
        for method in args.methods:
            with tempfile.TemporaryDirectory() as folder:
                keep(record(trained(Path(folder), args, method, seed), args))


def trained(folder: Path, args: argparse.Namespace, method: str, seed: int) -> RunDir:
    changes = {name: read_yaml(value) for name, _, value in (setting.partition("=") for setting in args.settings)}
    config = override(preset("emoji"), {**changes, "data.eval_split": args.split})
    file = folder / "manifest.parquet"
    (plant_patches(config, seed, args.patch) if args.patch else plant(config, seed)).save(file)
    run = train(replace(config, method=method, seed=seed, manifest=str(file)), folder / "run", quiet=True)
    evaluate_run(run.path)
    return run


def record(run: RunDir, args: argparse.Namespace) -> dict[str, Any]:
    config, metrics, splits = run.config(), run.metrics(), run.splits()
    assert metrics is not None, f"{run.path}: not evaluated yet"
    attacks = [{key: value for key, value in attack.items() if key != "examples"} for attack in metrics["attack"]]
    epochs = [line for line in run.log() if line["event"] == "epoch"]
    return {
        "label": args.label,
        "settings": differences(to_dict(preset(config.preset)), to_dict(config)),
        "data": config.data.spec.split("/")[-1],
        "split": config.data.eval_split,
        "method": config.method,
        "seed": config.seed,
        "epochs": config.epochs,
        "zero_shot": metrics["zero_shot"],
        "attack": attacks,
        "seconds": sum(line["seconds"] for line in epochs),
        "safe_share": [round(line["safe_share"], 3) for line in splits],
        "planted_in_safe": [line.get("planted_by_attack") for line in splits],
        "machine": run.made_with(),
    }


def keep(result: dict[str, Any]) -> None:
    target = RESULTS / f"emoji-{result['split']}.json"
    records = json.loads(target.read_text()) if target.exists() else []
    write_json(target, [*records, result])
    print(json.dumps(result), flush=True)


def differences(preset: dict[str, Any], config: dict[str, Any], under: str = "") -> dict[str, Any]:
    """Dotted settings of a run that are not the preset's, but for those that every record says anyway."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        if name == "safeclip" and config["method"] == "clip":
            continue
        if isinstance(value, dict):
            out |= differences(preset[name], value, f"{under}{name}.")
        elif value != preset[name] and under + name not in SAID:
            out[under + name] = value
    return out


def plant_patches(config: Any, seed: int, patches: list[str]) -> Manifest:
    source = open_source(config.data.spec, split="train")
    parts = [plant_targeted(config, seed)]
    for patch in patches:
        px, count = (int(part) for part in patch.split(":"))
        taken = [uid for part in parts for uid in part.uids.tolist()]
        name = f"badnets-{px}px-{count}"
        parts.append(plan("badnets", source, seed=seed, avoid=taken, title=name, count=count, least=px))
    return Manifest.combine(parts)


if __name__ == "__main__":
    main()
