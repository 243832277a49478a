"""The verbs, thin: parse, call, print. Nothing heavy is imported before a verb needs it.

Exit codes: 0 done, 1 failed while running, 2 bad arguments or bad input. Bad input gets one line, never a traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from safeclip.arguments import Verb, attack_params, data_config, data_settings, parser, run_config, templates
from safeclip.errors import InputError, RunError, reason
from safeclip.terminal import printable


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    options = parser(_VERBS).parse_args(arguments)
    try:
        if int(os.environ.get("WORLD_SIZE") or 1) > 1 and options.verb is not train:
            raise InputError(f"{options.verb.__name__}: runs in one process; torchrun is for `safeclip train`")
        result = options.verb(options)
        if options.json:
            print(json.dumps(result))
        sys.stdout.flush()
    except InputError as error:
        return _fail(options, error, 2)
    except RunError as error:
        return _fail(options, error, 1)
    except KeyboardInterrupt:
        on = "; `safeclip train --resume --out DIR` goes on from the last checkpoint" if options.verb is train else ""
        print(f"stopped{on}", file=sys.stderr)
        return 1
    except OSError as error:  # such as a full disk under what the output goes to, or nobody reading it any more
        with contextlib.suppress(OSError, ValueError):  # what is left of it must not be tried again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail(options, RunError(f"cannot be written or read: {reason(error)}"), 1)
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
    from safeclip.data.pairs import NoSuchSplit
    from safeclip.data.sources import open_pairs
    from safeclip.evaluate.lines import metric_lines
    from safeclip.evaluate.run import evaluate_run
    from safeclip.report import write_report
    from safeclip.run import RunDir
    from safeclip.train import loop

    config = run_config(options) or RunDir(options.out).config()
    if config.evaluate:  # a split that is not there is better known before training than after it
        try:
            open_pairs(config.data, config.data.eval_split)
        except NoSuchSplit as why:
            raise InputError(f"{why}; it is to be evaluated there: set data.eval_split, or evaluate=false") from None
    if options.resume:
        run = loop.resume(options.out, quiet=options.quiet)
    else:
        run = loop.train(config, options.out, quiet=options.quiet)
    if not _writes():
        sys.exit(0)
    config = run.config()
    metrics, lines = None, []
    if config.evaluate:
        try:
            metrics = evaluate_run(run.path, quiet=options.quiet)
            lines = metric_lines(metrics)
        except InputError as why:  # the model is trained all the same
            lines = [f"not evaluated: {why}"]
    write_report(run.path)
    _say(options, *lines, f"run: {run.path}", f"the page: {run.report_file}")
    return {"run": str(run.path), "metrics": metrics}


def poison(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.attacks.catalog import ATTACKS, check_attack, plan
    from safeclip.data.same import same_pictures
    from safeclip.data.sources import open_classed

    if options.list:
        return _list_attacks(options)
    for name in ("data", "attack"):
        if getattr(options, name) is None:
            raise InputError(f"poison: give --{name}; `safeclip poison --help` says what it takes")
    if options.out is None and options.preview is None:
        raise InputError("poison: give --out FILE for the manifest, or --preview PAGE for a look at it")
    check_attack(options.attack)
    data = data_config(options)
    source = open_classed(data)
    targets = None
    if ATTACKS[options.attack].needs_targets:
        targets = open_classed(replace(data, spec=options.targets or data.spec, split=options.targets_split))
        if same_pictures(source, targets):
            raise InputError(
                f"--attack {options.attack}: {targets.name} holds the very pictures that are poisoned; "
                "give others with --targets, or data with splits"
            )
    _check_free(options.out, options.preview)
    manifest = plan(options.attack, source, targets, seed=options.seed, **attack_params(options))
    lines = []
    if options.out is not None:
        manifest.save(options.out)
        lines += [
            f"{len(manifest.uids)} of {len(source)} pairs planted: {options.out}",
            f"the data stays as it is; `safeclip train --manifest {options.out} ...` reads them with it",
        ]
    if options.preview is not None:
        from safeclip.report.preview import write_preview

        lines.append(f"the page: {write_preview(options.preview, manifest, source)}")
    _say(options, *lines)
    return {
        "manifest": options.out,
        "preview": options.preview,
        "planted": len(manifest.uids),
        "pairs": len(source),
        "attacks": manifest.attacks,
    }


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.evaluate.lines import metric_lines
    from safeclip.evaluate.run import evaluate_model, evaluate_run, open_clip_model
    from safeclip.model.load_folder import is_model_folder, load_folder
    from safeclip.run import write_json

    is_run = options.run is not None and not is_model_folder(options.run)
    _check_evaluate(options, is_run)
    given: dict[str, Any] = {
        "templates": templates(options),
        "manifest": options.manifest,
        "limit": options.limit,
        "probe": options.probe,
        "quiet": False,
    }
    if options.download:
        from safeclip.data.sources.torchvision_sets import fetch

        fetch(options.data or "")
    if is_run:
        metrics = evaluate_run(
            options.run,
            data=options.data,
            split=options.split,
            checkpoint=options.checkpoint,
            settings=data_settings(options),
            out=options.out,
            **given,
        )
    else:
        clip = load_folder(options.run) if options.run else open_clip_model(*_named(options))
        metrics = evaluate_model(clip, data_config(options), **given)
        if options.out is not None:
            write_json(Path(options.out) / "metrics.json", metrics)
    _say(options, *metric_lines(metrics))
    return metrics


def bench(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.bench import command

    specs = command.specs_of(options.preset, options.spec, options.data, options.quick)
    where: dict[str, Any] = {"results": options.results, "only": options.only}
    if options.dry_run:
        runs = command.plan(specs, options.out, **where)
        for name, entries in runs.items():
            _say(options, f"{name}:", *command.plan_lines(entries))
        return runs
    summaries = command.run(
        specs, options.out, limit_minutes=options.limit_minutes, jobs=options.jobs, quiet=options.quiet, **where
    )
    for summary in summaries:
        _say(options, "", f"{summary['name']}:", *command.summary_lines(summary))
    _say(options, f"the tables and the pages: {options.out}")
    command.check(summaries)
    return summaries[0] if len(summaries) == 1 else {"benches": summaries}


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
        failure = RunError("; ".join(result["broken"]))
        failure.result = result
        raise failure
    return result


def _named(options: argparse.Namespace) -> tuple[str, str | None, str | None]:
    """Architecture, weights and tag; where these may want other pictures than the architecture has, it is said."""
    from safeclip.model.build import tags_apart

    if options.tag is None and options.weights is not None and (apart := tags_apart(options.model)):
        _say(options, f"normalised as {options.model} has it; if the weights are one of {', '.join(apart)}, give --tag")
    return options.model, options.weights, options.tag


def _check_evaluate(options: argparse.Namespace, is_run: bool) -> None:
    """Raises InputError on arguments that do not go together."""
    if options.run is None and (options.model is None or options.data is None):
        raise InputError("evaluate: give a run's folder, or --model NAME --weights FILE --data SPEC")
    if options.run is not None and (options.model or options.weights or options.tag):
        raise InputError("evaluate: --model, --weights and --tag are for evaluating without a run; leave them out")
    if is_run:
        if options.set and options.data is None:
            raise InputError(
                "evaluate: --set says how --data is read; the run's own data is read as in its config.yaml"
            )
        return
    if options.data is None:
        raise InputError(f"evaluate: {options.run} is a model without data of its own; give --data SPEC")
    if options.checkpoint is not None:
        raise InputError("evaluate: --checkpoint names one of a run's; leave it out")


def _check_free(out: str | None, preview: str | None) -> None:
    """Raises InputError where either would take the place of a file of another kind, such as the data."""
    from safeclip.attacks.manifest import is_manifest

    if out is not None and os.path.exists(out) and not is_manifest(out):
        raise InputError(f"--out {out}: is there and holds no manifest; give another name")
    if preview is not None and os.path.exists(preview) and not _is_page(preview):
        raise InputError(f"--preview {preview}: is there and holds no page; give another name")
    if out is not None and preview is not None and os.path.realpath(out) == os.path.realpath(preview):
        raise InputError(f"--preview {preview}: is --out's file too; give another name")


def _is_page(path: str) -> bool:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(15).lower() == b"<!doctype html>"
    return False


def _list_attacks(options: argparse.Namespace) -> dict[str, Any]:
    from safeclip.report.attack_list import as_values, print_list
    from safeclip.report.preview import write_catalog

    _check_free(None, options.preview)
    if not options.json:
        print_list()
    if options.preview is not None:
        _say(options, f"the page: {write_catalog(options.preview)}")
    return as_values()


def _say(options: argparse.Namespace, *lines: str) -> None:
    if not options.json and not getattr(options, "quiet", False):
        print("\n".join(map(printable, lines)))


def _writes() -> bool:
    """Whether this process is the only one, or the first of those that torchrun started."""
    return int(os.environ.get("WORLD_SIZE") or 1) == 1 or int(os.environ.get("RANK") or 0) == 0


def _fail(options: argparse.Namespace, error: Exception, code: int) -> int:
    if not _writes():  # the first says it
        return code
    line = printable(" ".join(str(error).split()))
    print(f"safeclip: {line}", file=sys.stderr)
    if options.json:
        print(json.dumps({"error": line, "exit": code} | (getattr(error, "result", None) or {})))
    return code


_VERBS: dict[str, Verb] = {
    verb.__name__: verb for verb in (demo, train, poison, evaluate, bench, report, export, doctor)
}
