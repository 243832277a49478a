"""The verbs, thin: parse, call, print. Nothing heavy is imported before a verb needs it.

Exit codes: 0 done, 1 failed while running, 2 bad arguments or bad input. Bad input gets one line, never a traceback.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from safeclip.arguments import Verb, attack_params, columns, data_config, parser, run_config
from safeclip.config import RunConfig
from safeclip.errors import InputError, RunError


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    options = parser(_VERBS).parse_args(arguments)
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
    from safeclip.data.sources import open_source
    from safeclip.evaluate.run import evaluate_run
    from safeclip.report import write_report
    from safeclip.run import RunDir
    from safeclip.train.loop import train as run_training

    config = run_config(options)
    data = RunDir(options.out).config().data if options.resume else config.data
    if config.evaluate:  # a split that is not there is better known before training than after it
        open_source(data.spec, split=data.eval_split, **columns(data))
    run = run_training(config, options.out, resume=options.resume, quiet=options.quiet)
    config = run.config()
    metrics = evaluate_run(run.path) if config.evaluate else None
    write_report(run.path)
    _say(options, *_metric_lines(metrics), f"run: {run.path}", f"the page: {run.report_file}")
    return {"run": str(run.path), "metrics": metrics}


def poison(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.attacks.catalog import ATTACKS, check_attack, plan
    from safeclip.data.sources import open_source

    if options.list:
        return _list_attacks(options)
    for name in ("data", "attack", "out"):
        if getattr(options, name) is None:
            raise InputError(f"poison: give --{name}; `safeclip poison --help` says what it takes")
    check_attack(options.attack)
    data = data_config(options)
    source = open_source(data.spec, split=data.split, **columns(data))
    targets = None
    if ATTACKS[options.attack].needs_targets:
        targets = open_source(options.targets or data.spec, split=options.targets_split, **columns(data))
    manifest = plan(options.attack, source, targets, seed=options.seed, **attack_params(options))
    manifest.save(options.out)
    _say(
        options,
        f"{len(manifest.uids)} of {len(source)} pairs planted: {options.out}",
        f"the data itself stays as it is; `safeclip train --manifest {options.out}` reads it with the planted pairs",
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
        if options.model or options.weights or options.set:
            raise InputError("evaluate: --model, --weights and --set are for evaluating without a run; leave them out")
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
        clip = open_clip_model(options.model, options.weights)
        metrics = evaluate_model(
            clip, data_config(options), templates=RunConfig().templates, manifest=options.manifest, limit=options.limit
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

    clip = load_run(options.run, options.checkpoint)
    written = write_model(clip, options.out, options.form)
    _say(options, *[str(path) for path in written])
    if options.form == "open_clip" and clip.name.startswith("safeclip-"):
        _say(options, f"open_clip alone cannot build {clip.name}; load it with safeclip.load_run({options.run!r})")
    return {"written": [str(path) for path in written]}


def doctor(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.doctor import examine

    data = data_config(options) if options.data is not None else None
    result = examine(data=data, models=options.models)
    _say(options, *result["lines"])
    if result["broken"]:
        raise RunError("; ".join(result["broken"]))
    return result


def _metric_lines(metrics: dict[str, Any] | None) -> list[str]:
    if metrics is None:
        return []
    lines = []
    if metrics["zero_shot"]:
        z = metrics["zero_shot"]
        top1 = f"top-1 {z['top1']:.1%} ({_interval(z['ci95'])})"
        lines.append(f"zero-shot over {z['classes']} classes: {top1}, top-5 {z['top5']:.1%}, n = {z['n']}")
    if metrics["retrieval"]:
        r = metrics["retrieval"]
        for way in ("image_to_text", "text_to_image"):
            lines.append(
                f"retrieval {way.replace('_', ' ')}: "
                + ", ".join(f"R@{k[1:]} {r[way][k]:.1%}" for k in ("r1", "r5", "r10"))
                + f", n = {r['n_images']}"
            )
    for a in metrics["attack"]:
        base = "unknown" if a["base_rate"] is None else f"{a['base_rate']:.1%}"
        success = f"attack success {a['k']} of {a['n']} = {a['asr']:.1%} ({_interval(a['ci95'])})"
        lines.append(f"{a['name']}: {success}; base rate {base}")
    return lines


def _interval(ci95: list[float]) -> str:
    return f"95 % interval {ci95[0]:.1%} to {ci95[1]:.1%}"


def _list_attacks(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.attacks.catalog import ATTACKS

    listed = {
        attack.name: {
            "kind": attack.kind,
            "what": attack.what,
            "source": attack.source,
            "needs": attack.needs,
            "params": attack.params,
        }
        for attack in ATTACKS.values()
    }
    for name, about in listed.items():
        params = ", ".join(f"{key}={value}" for key, value in ATTACKS[name].params.items() if value is not None)
        _say(options, name, f"  {about['what']}", f"  source: {about['source']}", f"  needs: {about['needs']}")
        _say(options, f"  parameters: {params}", "")
    return listed


def _say(options: argparse.Namespace, *lines: str) -> None:
    if not options.json and not getattr(options, "quiet", False):
        print("\n".join(lines))


def _fail(options: argparse.Namespace, error: Exception, code: int) -> int:
    line = " ".join(str(error).split())
    print(f"safeclip: {line}", file=sys.stderr)
    if options.json:
        print(json.dumps({"error": line, "exit": code}))
    return code


_VERBS: dict[str, Verb] = {verb.__name__: verb for verb in (demo, train, poison, evaluate, report, export, doctor)}

if __name__ == "__main__":
    sys.exit(main())
