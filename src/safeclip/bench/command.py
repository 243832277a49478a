"""`safeclip bench`: from its arguments to benches in their folders, and what it prints of them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safeclip.bench.jobs import check_jobs, run_at_once
from safeclip.bench.presets import PRESETS, named
from safeclip.bench.runner import Bench
from safeclip.bench.selection import check_only, parse_only
from safeclip.bench.spec import Spec
from safeclip.bench.spec_file import read_spec
from safeclip.errors import InputError, RunError
from safeclip.report.words import count, duration, model_name, percent


def run(
    specs: Sequence[Spec],
    out: str | os.PathLike[str],
    *,
    results: str | None = None,
    only: Sequence[str] = (),
    limit_minutes: float | None = None,
    jobs: int = 1,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Do the benches one after the other and return their summaries. jobs: runs done at once, each in a process of its
    own. Raises InputError before anything is done."""
    check_jobs(jobs)
    deadline = None if limit_minutes is None else time.monotonic() + 60 * limit_minutes
    chosen = parse_only(only)
    benches = [Bench.open(spec, folder, file) for spec, folder, file in places(specs, out, results)]
    check_only([cell for bench in benches for cell in bench.cells], chosen)
    if jobs == 1:
        return [bench.run(chosen, deadline=deadline, quiet=quiet) for bench in benches]
    for spec, folder, file in places(specs, out, results):
        run_at_once(jobs, spec, folder, file, chosen, deadline, quiet)
    return [bench.write() for bench in benches]


def plan(
    specs: Sequence[Spec], out: str | os.PathLike[str], *, results: str | None = None, only: Sequence[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """--dry-run: the runs of each bench, by its name."""
    chosen = parse_only(only)
    benches = {spec.name: Bench.open(spec, folder, file) for spec, folder, file in places(specs, out, results)}
    check_only([cell for bench in benches.values() for cell in bench.cells], chosen)
    return {name: bench.prospect(chosen) for name, bench in benches.items()}


def specs_of(preset: str | None, file: str | None, data: str | None, quick: bool) -> tuple[Spec, ...]:
    """The specs that --preset or --spec names. Raises InputError."""
    if (preset is None) == (file is None):
        raise InputError(f"bench: give --preset, one of {', '.join(PRESETS)}, or --spec FILE")
    if preset is not None:
        return named(preset, data=data, quick=quick)
    if quick:
        raise InputError("--quick: shortens presets; in a spec, say it with seeds and set")
    assert file is not None
    spec = read_spec(file)
    return (spec if data is None else replace(spec, data=replace(spec.data, spec=data)),)


def places(
    specs: Sequence[Spec], out: str | os.PathLike[str], results: str | None
) -> list[tuple[Spec, Path, Path | None]]:
    """Folder and results file of each spec. Several get folders of their own; `results` may be a file or a folder."""
    several, folder = len(specs) > 1, Path(out)
    if results is not None and results.endswith(".json") and several:
        raise InputError(f"--results {results}: there are {len(specs)} benches; name a folder")
    placed = []
    for spec in specs:
        file = None if results is None else Path(results)
        if file is not None and file.suffix != ".json":
            file = file / f"bench-{spec.name}.json"
        placed.append((spec, folder / spec.name if several else folder, file))
    return placed


def check(summaries: Sequence[dict[str, Any]]) -> None:
    """Raises RunError where a run failed."""
    failed = [failure for summary in summaries for failure in summary["failed"]]
    if failed:
        first = failed[0]
        raise RunError(
            f"{len(failed)} runs failed, as {first['run']}: {first['reason']}; the same command tries them again"
        )


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """A line a run and attack."""
    lines = [f"{'seed':>4}  {'attack':24} {'method':14} {'attack success':>18} {'clean top-1':>12}"]
    for run in summary["runs"]:
        hit = f"{run['k']} of {run['asr_n']}" if run["asr_n"] else "–"
        top1 = percent(run["zero_shot_top1"])
        line = f"{run['seed']:4}  {run['attack_label']:24} {model_name(run['label']):14} {hit:>18} {top1:>12}"
        lines.append(line + ("  did not plant: counts for nothing" if run["planted"] is False else ""))
    if summary["left"]:
        lines.append(f"{count(summary['left'])} runs are left; the same command goes on")
    return lines


def plan_lines(entries: Sequence[dict[str, Any]]) -> list[str]:
    """A line a run, and the sums of what is done and what is left."""
    lines = []
    for entry in entries:
        known = entry["seconds"] is not None
        about = ("" if entry["done"] else "about ") + duration(entry["seconds"]) if known else ""
        place = f"seed {entry['seed']:<3} {entry['attack']:36} {entry['method']:14}"
        lines.append(f"{entry['id']}  {place} {about:>16}  {entry['state']}")
    left = [entry for entry in entries if not entry["done"]]
    costs = [entry["seconds"] for entry in left if entry["seconds"] is not None]
    whole = f", about {duration(sum(costs))}" if costs and len(costs) == len(left) else ""
    done = sum(entry["seconds"] for entry in entries if entry["done"])
    took = f"; the others took {duration(done)}, one after the other" if done else ""
    return [*lines, f"{len(left)} of {len(entries)} runs are left{whole}{took}"]
