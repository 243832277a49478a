"""The command line: what each verb takes, and from arguments to a config. Nothing heavy is imported.

What must stay true: every argument's help says what it stands for and what holds without it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safeclip.bench.presets import PRESETS as BENCHES
from safeclip.config import METHOD_NAMES, DataConfig, RunConfig, override, read_yaml
from safeclip.errors import InputError
from safeclip.presets import PRESETS, preset

Verb = Callable[[argparse.Namespace], dict[str, Any]]
_SPEC = "a path or URL, or format:path (csv, tsv, parquet, wds, coco, vg, cc3m, hf, folder, torchvision, emoji)"


def parser(calls: dict[str, Verb]) -> argparse.ArgumentParser:
    """calls: what runs each verb, by its name."""
    top = argparse.ArgumentParser(
        prog="safeclip",
        description="Train CLIP on image-caption pairs that nobody has checked, so that planted pairs do not take.",
        epilog="Start with `safeclip demo`; then `safeclip doctor --data SPEC` looks at your own pairs, and `safeclip "
        "train --preset small64 --data SPEC --out runs/mine` trains on them. `safeclip VERB --help` says more.",
    )
    top.add_argument("--version", action="version", version=_version())
    verbs = top.add_subparsers(required=True, metavar="VERB", title="verbs")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.set_defaults(verb=calls[name])
        sub.add_argument("--json", action="store_true", help="print the result as one JSON object")
        return sub

    p = verb("demo", "train plain CLIP and SafeCLIP on the built-in, poisoned pictures; write a page that shows both")
    p.add_argument("--out", metavar="DIR", default="runs/demo", help="folder to write (default: runs/demo)")
    p.add_argument("--seed", type=int, default=0, help="seed of attacks, weights and views (default: 0)")
    p.add_argument("--epochs", type=int, help="epochs of each model (default: the preset's)")
    p.add_argument("--quiet", action="store_true", help="print neither progress nor result")

    p = verb("train", "train a model on image-caption pairs, or go on with a run")
    p.epilog = "presets:\n" + "\n".join(f"  {name:14} {_first_line(make)}" for name, make in PRESETS.items())
    p.add_argument("--out", metavar="DIR", required=True, help="run directory to write")
    p.add_argument("--preset", metavar="NAME", help="settings to start from; listed below")
    p.add_argument("--data", metavar="SPEC", help=f"pairs to train on, instead of the preset's: {_SPEC}")
    p.add_argument("--method", help=f"one of {', '.join(METHOD_NAMES)} (default: the preset's)")
    p.add_argument("--model", metavar="NAME", help="open_clip architecture, as in ViT-B-32 (default: the preset's)")
    p.add_argument("--epochs", type=int, help="passes over the data, warm-up counted (default: the preset's)")
    p.add_argument("--seed", type=int, help="seed of weights, plan and views (default: 0)")
    p.add_argument("--manifest", metavar="FILE", help="planted pairs to apply while reading, from `safeclip poison`")
    _add_set(p, "any other setting, as in safeclip.growth=0.02; DIR/config.yaml lists them all")
    p.add_argument("--resume", action="store_true", help="go on with the run in --out from its newest checkpoint")
    p.add_argument("--quiet", action="store_true", help="print neither progress nor result")

    p = verb("poison", "plan an attack on a data set: write a manifest that training applies while reading")
    p.add_argument("--out", metavar="FILE", help="manifest to write (.parquet)")
    p.add_argument("--data", metavar="SPEC", help=f"pairs to poison: {_SPEC}")
    p.add_argument("--attack", metavar="NAME", help="one of those that --list prints, as in targeted or badnets")
    p.add_argument("--list", action="store_true", help="print every attack: what it does, its source, its parameters")
    p.add_argument(
        "--preview",
        metavar="PAGE",
        help="page of planted pairs to write, before and after (.html), --out or not; with --list: of every attack",
    )
    p.add_argument("--split", default="train", help="split to poison (default: train)")
    p.add_argument("--targets", metavar="SPEC", help="data of target pictures, with classes (default: --data)")
    p.add_argument("--targets-split", metavar="SPLIT", default="test", help="their split (default: test)")
    p.add_argument(
        "--param",
        action="append",
        metavar="NAME=VALUE",
        help="a parameter of the attack, as in count=200 or target_class=dog; repeatable (default: see --list)",
    )
    p.add_argument("--seed", type=int, default=0, help="seed of everything drawn (default: 0)")
    _add_set(p, "how the data is read, as in data.image_column=photo")

    p = verb("evaluate", "measure zero-shot, linear probe, retrieval, attack success and detection of a run or a model")
    p.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="run directory; its metrics.json is written anew. Or a model's folder, of open_clip or transformers",
    )
    p.add_argument("--data", metavar="SPEC", help=f"pairs to evaluate on (default: the run's): {_SPEC}")
    p.add_argument("--split", help="their split (default: the run's data.eval_split, or test)")
    p.add_argument(
        "--download", action="store_true", help="fetch the set that --data torchvision:NAME:ROOT names first"
    )
    p.add_argument("--probe", action="store_true", help="fit a linear probe too, on the data's training pictures")
    p.add_argument(
        "--template",
        action="append",
        metavar="TEXT",
        help="zero-shot prompt, as in 'a photo of a {}.'; repeatable (default: those beside the data, or the run's)",
    )
    p.add_argument("--manifest", metavar="FILE", help="attacks to measure (default: those the run was trained with)")
    p.add_argument("--checkpoint", metavar="NAME", help="as in epoch-007 (default: the newest)")
    p.add_argument("--model", metavar="NAME", help="without a run: open_clip architecture")
    p.add_argument("--weights", metavar="FILE", help="without a run: its checkpoint")
    p.add_argument(
        "--tag", help="open_clip's tag of those weights, for its normalisation (default: the architecture's)"
    )
    _add_set(p, "how --data is read, as in data.class_column=label")
    p.add_argument("--limit", type=int, help="pairs to evaluate at most, and of each split to fit on (default: all)")
    p.add_argument("--out", metavar="DIR", help="folder to write metrics.json into (default: the run's; else nowhere)")

    p = verb(
        "bench", "attacks x methods x seeds on one data set: one table, beside plain CLIP; goes on where it stopped"
    )
    p.epilog = "presets:\n" + "\n".join(f"  {name:14} {_first_line(make)}" for name, make in BENCHES.items())
    p.add_argument("--out", metavar="DIR", required=True, help="folder of the bench; the same one goes on with it")
    p.add_argument("--preset", metavar="NAME", help="a bench to run; listed below")
    p.add_argument("--spec", metavar="FILE", help="a bench of your own instead, in YAML (docs/bench.md)")
    p.add_argument("--data", metavar="SPEC", help=f"pairs, instead of the spec's: {_SPEC}")
    p.add_argument("--quick", action="store_true", help="a shorter form of a preset, which shows that everything runs")
    p.add_argument(
        "--results",
        metavar="FILE",
        help="results to merge finished runs into and to take them from (.json), or a folder for bench-NAME.json",
    )
    p.add_argument(
        "--dry-run",
        action="store_true",
        help="print the runs, and about how long each takes once some are done; do none",
    )
    p.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="some runs, as in method=safeclip,attack=wanet,seed=0, and plain CLIP beside them; repeatable",
    )
    p.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs done at once, which share the cores (default: 1)"
    )
    p.add_argument("--limit-minutes", type=float, metavar="N", help="start no run that would not end within N minutes")
    p.add_argument("--quiet", action="store_true", help="print neither progress nor result")

    p = verb("report", "write the page of a run, or of several side by side, report.html, from what lies in the folder")
    p.add_argument("run", metavar="DIR", help="a run, or a folder of runs, as a demo's is")

    p = verb("export", "write a run's model for other programs")
    p.add_argument("run", metavar="RUN", help="run directory")
    p.add_argument("--out", metavar="DIR", required=True, help="folder to write, new or empty")
    p.add_argument(
        "--form",
        choices=("open_clip", "transformers", "safetensors"),
        default="open_clip",
        help="who is to load it (default: open_clip); transformers takes ViT architectures only",
    )
    p.add_argument("--checkpoint", metavar="NAME", help="as in epoch-007 (default: the newest)")

    p = verb("doctor", "say what this machine trains on, and with --data what is wrong with a data set")
    p.add_argument("--data", metavar="SPEC", help=f"data to look through, up to 200 pairs: {_SPEC}")
    p.add_argument("--split", default="train", help="its split (default: train)")
    _add_set(p, "how it is read, as in data.image_column=photo")
    p.add_argument("--models", action="store_true", help="list every architecture instead")
    return top


def run_config(options: argparse.Namespace) -> RunConfig | None:
    """Of `train`; None where it goes on with a run, which has its own. Raises InputError."""
    if options.resume:
        own = ("preset", "data", "method", "epochs", "model", "manifest", "seed", "set")
        given = [name for name in own if getattr(options, name) not in (None, [])]
        if given:
            raise InputError(
                f"--{given[0]}: a resumed run keeps its own settings; leave it out, or start anew with another --out"
            )
        return None
    if not options.preset:
        raise InputError(f"train: give --preset, one of {', '.join(PRESETS)}")
    changes: dict[str, Any] = {}
    for path, value in (
        ("data.spec", options.data),
        ("method", options.method),
        ("epochs", options.epochs),
        ("model.name", options.model),
        ("manifest", options.manifest),
        ("seed", options.seed),
    ):
        if value is not None:
            changes[path] = value
    changes |= _settings(options)
    usual = preset(options.preset)
    if "data.spec" not in changes and not Path(usual.data.spec.partition(":")[2]).exists():
        raise InputError(f"--preset {options.preset}: has no data of its own; give yours with --data")
    return override(usual, changes)


def attack_params(options: argparse.Namespace) -> dict[str, Any]:
    """What --param names. Raises InputError."""
    return _pairs("--param", options.param, "count=200")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What --set names, by dotted name."""
    return _pairs("--set", options.set, "safeclip.growth=0.02")


def _pairs(flag: str, given: list[str] | None, example: str) -> dict[str, Any]:
    """name=value pairs, the values read as YAML."""
    changes: dict[str, Any] = {}
    for setting in given or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"{flag} {setting}: write it as name=value, as in {flag} {example}")
        try:
            changes[name] = read_yaml(value)
        except ValueError:
            raise InputError(f"{flag} {setting}: {value!r} is no YAML value") from None
    return changes


def data_config(options: argparse.Namespace) -> DataConfig:
    """Of a verb that reads data without a run: --data, --split, and --set data.NAME=VALUE."""
    given = {"data.spec": options.data, "data.split": options.split or "test"}
    return override(RunConfig(), given | data_settings(options)).data


def data_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What --set data.NAME=VALUE names, by dotted name. Raises InputError on settings of other parts."""
    changes = _settings(options)
    other = next((name for name in changes if not name.startswith("data.")), None)
    if other is not None:
        raise InputError(f"--set {other}: this verb takes data settings only, as in --set data.image_column=photo")
    return changes


def templates(options: argparse.Namespace) -> tuple[str, ...] | None:
    """What --template gives, None without it. Raises InputError."""
    return override(RunConfig(), {"templates": options.template}).templates if options.template else None


def _add_set(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help=f"{text}; repeatable")


def _first_line(make: Callable[[], object]) -> str:
    return (make.__doc__ or "").split("\n")[0]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"safeclip {version('safeclip')}"
    except PackageNotFoundError:
        return "safeclip (not installed)"
