"""The verbs, thin: parse, call, print. Nothing heavy is imported before a verb needs it.

Exit codes: 0 done, 1 failed while running, 2 bad arguments or bad input. Bad input gets one line, never a traceback.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import yaml

from safeclip.config import RunConfig, override
from safeclip.errors import InputError, RunError
from safeclip.presets import PRESETS, preset


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        result = options.verb(options)
    except InputError as error:
        return _fail(options, error, 2)
    except RunError as error:
        return _fail(options, error, 1)
    except KeyboardInterrupt:
        print("stopped; `safeclip train --resume --out DIR` goes on from the last checkpoint", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    return 0


def demo(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.demo import demo as run_demo

    summary = run_demo(options.out, seed=options.seed, epochs=options.epochs, quiet=options.quiet)
    lines = ["", f"{'method':10} {'attack':10} {'zero-shot top-1':>16} {'attack success':>15} {'training':>9}"]
    for run in summary["runs"]:
        hit = f"{round(run['asr'] * run['asr_n'])} of {run['asr_n']}"
        lines.append(
            f"{run['method']:10} {run['attack']:10} {run['zero_shot_top1']:16.1%} {hit:>15} {run['seconds']:7.0f} s"
        )
    _say(options, *lines, "", f"the page: {options.out}/report.html")
    return summary


def train(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.evaluate.run import evaluate_run
    from safeclip.report import write_report
    from safeclip.train.loop import train as run_training

    run = run_training(_config(options), options.out, resume=options.resume, quiet=options.quiet)
    config = run.config()
    metrics = evaluate_run(run.path) if config.evaluate else None
    write_report(run.path)
    _say(options, *_metric_lines(metrics), f"run: {run.path}", f"the page: {run.report_file}")
    return {"run": str(run.path), "metrics": metrics}


def poison(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.attacks.backdoor import plan_badnets
    from safeclip.attacks.targeted import plan_targeted
    from safeclip.data.sources import open_source

    source = open_source(options.data, split=options.split)
    if options.attack == "targeted":
        targets = open_source(options.targets or options.data, split=options.targets_split)
        manifest = plan_targeted(
            source, targets, targets_count=options.count or 16, captions_each=options.captions, seed=options.seed
        )
    else:
        count = None if options.rate is not None else options.count or 100
        manifest = plan_badnets(
            source, count=count, rate=options.rate, target_class=options.target_class, seed=options.seed
        )
    manifest.save(options.out)
    _say(
        options,
        f"{len(manifest.uids)} of {len(source)} pairs planted: {options.out}",
        "train with --manifest to read them",
    )
    return {
        "manifest": str(options.out),
        "planted": len(manifest.uids),
        "pairs": len(source),
        "attacks": manifest.attacks,
    }


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.evaluate.run import evaluate_model, evaluate_run, open_clip_model

    if options.run is not None:
        metrics = evaluate_run(
            options.run,
            data=options.data,
            split=options.split,
            manifest=options.manifest,
            name=options.checkpoint,
            limit=options.limit,
        )
    else:
        if options.model is None or options.data is None:
            raise InputError("evaluate: give a run's folder, or --model NAME --weights FILE --data SPEC")
        config = override(RunConfig(), {"data.spec": options.data, "data.split": options.split or "test"})
        clip = open_clip_model(options.model, options.weights)
        metrics = evaluate_model(
            clip, config.data, templates=config.templates, manifest=options.manifest, limit=options.limit
        )
    _say(options, *_metric_lines(metrics))
    return metrics


def report(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.report import write_report

    page = write_report(options.run)
    _say(options, f"the page: {page}")
    return {"report": str(page)}


def export(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.evaluate.run import load_run
    from safeclip.model.export import export as write_model

    written = write_model(load_run(options.run, options.checkpoint), options.out, options.form)
    _say(options, *[str(path) for path in written])
    return {"written": [str(path) for path in written]}


def doctor(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.doctor import examine

    result = examine(data=options.data, split=options.split, models=options.models)
    _say(options, *result["lines"])
    if result["broken"]:
        raise RunError("; ".join(result["broken"]))
    return result


def _config(options: argparse.Namespace) -> RunConfig:
    if options.resume:
        given = [
            f for f in ("preset", "data", "method", "epochs", "model", "manifest", "seed", "set") if getattr(options, f)
        ]
        if given:
            raise InputError(
                f"--{given[0]}: a resumed run keeps its own settings; leave it out, or start anew with another --out"
            )
        return RunConfig()
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
    for setting in options.set or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write it as name=value, as in --set safeclip.growth=0.02")
        try:
            changes[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {setting}: {value!r} is no YAML value") from None
        if isinstance(changes[name], str) and _is_number(changes[name]):
            changes[name] = float(changes[name])  # YAML reads 1e-4 as text
    return override(preset(options.preset), changes)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _metric_lines(metrics: dict[str, Any] | None) -> list[str]:
    if metrics is None:
        return []
    lines = []
    if metrics["zero_shot"]:
        z = metrics["zero_shot"]
        lines.append(
            f"zero-shot over {z['classes']} classes: top-1 {z['top1']:.1%} (95 % {z['ci95'][0]:.1%} to {z['ci95'][1]:.1%}), top-5 {z['top5']:.1%}, n = {z['n']}"
        )
    if metrics["retrieval"]:
        r = metrics["retrieval"]
        for way in ("image_to_text", "text_to_image"):
            lines.append(
                f"retrieval {way.replace('_', ' ')}: "
                + ", ".join(f"R@{k[1:]} {r[way][k]:.1%}" for k in ("r1", "r5", "r10"))
                + f", n = {r['n_images']}"
            )
    for a in metrics["attack"]:
        lines.append(
            f"{a['name']}: attack success {a['k']} of {a['n']} = {a['asr']:.1%} (95 % {a['ci95'][0]:.1%} to {a['ci95'][1]:.1%}), base rate {a['base_rate']:.1%}"
        )
    return lines


def _say(options: argparse.Namespace, *lines: str) -> None:
    if not options.json and not getattr(options, "quiet", False):
        print("\n".join(lines))


def _fail(options: argparse.Namespace, error: Exception, code: int) -> int:
    line = " ".join(str(error).split())
    print(f"safeclip: {line}", file=sys.stderr)
    if options.json:
        print(json.dumps({"error": line, "exit": code}))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="safeclip", description="Train CLIP on image-caption pairs that nobody has checked."
    )
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, call: Callable[[argparse.Namespace], dict[str, Any]], text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=call)
        sub.add_argument("--json", action="store_true", help="print the result as one JSON object")
        return sub

    p = verb(
        "demo",
        demo,
        "train plain CLIP and SafeCLIP on the embedded, poisoned pictures; write summary.json and report.html",
    )
    p.add_argument("--out", default="runs/demo", help="folder to write (default: runs/demo)")
    p.add_argument("--seed", type=int, default=0, help="seed of attacks, weights and views (default: 0)")
    p.add_argument("--epochs", type=int, help="epochs of each model (default: the preset's)")
    p.add_argument("--quiet", action="store_true", help="no progress")

    p = verb("train", train, "train a model on image-caption pairs")
    p.add_argument("--out", required=True, help="run directory to write")
    p.add_argument("--preset", help=f"settings to start from: {', '.join(PRESETS)}")
    p.add_argument(
        "--data",
        help="data spec: a path or URL, or format:path (csv, tsv, parquet, wds, coco, vg, cc3m, hf, folder, emoji)",
    )
    p.add_argument("--method", help="clip or safeclip (default: the preset's)")
    p.add_argument("--model", help="open_clip architecture (default: the preset's)")
    p.add_argument("--epochs", type=int, help="passes over the data, warm-up counted")
    p.add_argument("--seed", type=int, help="seed of weights, plan and views")
    p.add_argument("--manifest", help="manifest of planted pairs, applied while reading")
    p.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="any other setting of config.yaml, as in safeclip.growth=0.02; repeatable",
    )
    p.add_argument("--resume", action="store_true", help="go on with the run in --out from its newest checkpoint")
    p.add_argument("--quiet", action="store_true", help="no progress")

    p = verb("poison", poison, "plant an attack: write a manifest that training applies while reading")
    p.add_argument("--out", required=True, help="manifest to write (.parquet)")
    p.add_argument("--data", required=True, help="data spec of the pairs to poison")
    p.add_argument("--attack", choices=("targeted", "badnets"), required=True)
    p.add_argument("--split", default="train", help="split to poison (default: train)")
    p.add_argument("--targets", help="targeted: data spec of the target pictures (default: --data)")
    p.add_argument("--targets-split", default="test", help="targeted: split of the target pictures (default: test)")
    p.add_argument("--count", type=int, help="targeted: target pictures (16); badnets: pairs (100)")
    p.add_argument("--captions", type=int, default=12, help="targeted: planted pairs for each target (default: 12)")
    p.add_argument("--rate", type=float, help="badnets: share of the pairs, instead of --count")
    p.add_argument("--target-class", help="badnets: class that the trigger should give (default: drawn from the seed)")
    p.add_argument("--seed", type=int, default=0)

    p = verb("evaluate", evaluate, "zero-shot, retrieval and attack success of a run or of an open_clip checkpoint")
    p.add_argument("run", nargs="?", help="run directory")
    p.add_argument("--data", help="data spec (default: the run's)")
    p.add_argument("--split", help="split (default: the run's data.eval_split, or test)")
    p.add_argument("--manifest", help="manifest of planted pairs (default: the run's)")
    p.add_argument("--checkpoint", help="as in epoch-007 (default: the newest)")
    p.add_argument("--model", help="open_clip architecture, without a run")
    p.add_argument("--weights", help="its checkpoint file")
    p.add_argument("--limit", type=int, help="pairs to evaluate at most")

    p = verb("report", report, "write the page of a run or of a demo")
    p.add_argument("run", help="run or demo directory")

    p = verb("export", export, "write a run's model for other programs")
    p.add_argument("run", help="run directory")
    p.add_argument("--out", required=True, help="folder to write")
    p.add_argument("--form", choices=("open_clip", "transformers", "safetensors"), default="open_clip")
    p.add_argument("--checkpoint", help="as in epoch-007 (default: the newest)")

    p = verb("doctor", doctor, "what is wrong with this machine or this data")
    p.add_argument("--data", help="data spec to look through")
    p.add_argument("--split", default="train")
    p.add_argument("--models", action="store_true", help="list every architecture")
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"safeclip {version('safeclip')}"
    except PackageNotFoundError:
        return "safeclip (not installed)"


if __name__ == "__main__":
    sys.exit(main())
