"""The page's tables: results, settings, machine.

What must stay true: a table names no host and no folder of the machine that it was made on.
"""

from __future__ import annotations

from typing import Any

from safeclip.config import METHOD_NAMES
from safeclip.data.sources import without_folders
from safeclip.report.facts import Facts, Run
from safeclip.report.story import attack_names, final_epochs, looking
from safeclip.report.words import (
    KINDS,
    attack_name,
    count,
    duration,
    interval,
    mapping,
    model_name,
    number,
    percent,
    plain,
    small_percent,
)

_SETTINGS = [
    "preset",
    "method",
    "seed",
    "epochs",
    "data.spec",
    "data.split",
    "data.eval_split",
    "model.name",
    "model.weights",
    "model.precision",
    "optim.batch_size",
    "optim.rate",
    "safeclip.warmup_epochs",
    "safeclip.align_epochs",
    "safeclip.share_first",
    "safeclip.growth",
    "safeclip.share_cap",
    "safeclip.risk",
    "safeclip.veto",
    "safeclip.scoring",
    "safeclip.order",
    "roclip.every",
    "roclip.first",
    "roclip.pool_share",
    "roclip.pool_size",
    "cleanclip.unimodal_weight",
    "filter.detector",
    "filter.share",
    "filter.look_epochs",
    "filter.k",
    "filter.reference",
]


def results(facts: Facts) -> list[dict[str, Any]]:
    """A row a measure: {label, about, cells: [{value, small}]}, a cell a model."""
    runs = facts.runs
    warm = "warm-up counted" if any(run.method == "safeclip" for run in runs) else ""
    rows = [_row("Training epochs", warm, [(count(run.config.get("epochs")), _spent(run)) for run in runs])]
    zero = [run.metric("zero_shot") for run in runs]
    first = next((z for z in zero if z), None)
    if first:
        chance = f", chance {percent(1 / classes)}" if (classes := number(first.get("classes"))) else ""
        about = f"{count(first.get('n'))} clean test pictures, {count(first.get('classes'))} classes{chance}"
        rows.append(_row("Zero-shot top-1", about, [(percent(z.get("top1")), interval(z.get("ci95"))) for z in zero]))
        rows.append(_row("Zero-shot top-5", "", [(percent(z.get("top5")), "") for z in zero]))
    found = [run.metric("retrieval") for run in runs]
    if any(found):
        n = count(next(r for r in found if r).get("n_images"))
        rows.append(
            _row("Retrieval R@5", f"mean of both ways, {n} pictures", [(percent(r.get("mean_r5")), "") for r in found])
        )
    for name in attack_names(facts):
        mine = [next((a for a in run.attacks if a.name == name), None) for run in runs]
        says = KINDS[next(a for a in mine if a).kind]
        cells = [
            (f"{count(a.k)} of {count(a.n)}", f"{percent(a.asr)} ({interval(a.ci95)})") if a else ("–", "")
            for a in mine
        ]
        rows.append(_row(f"{attack_name(name)}: {says.success}", "lower is better", cells, attack=True))
        rows.append(
            _row(
                "base rate",
                says.base,
                [(small_percent(a.base_rate) if a else "–", "") for a in mine],
                sub=True,
            )
        )
        if any(a is not None and a.control for a in mine):
            cells = [_control(a.control if a else {}) for a in mine]
            rows.append(_row("another class, with the trigger", "the most called that nobody wanted", cells, sub=True))
        inside = [
            (f"{count(a.in_safe)} of {count(a.planted)}" if a and a.in_safe is not None else "no split", "")
            for a in mine
        ]
        if any(value != "no split" for value, _ in inside):
            kept = [run.method for run, (value, _) in zip(runs, inside, strict=True) if value != "no split"]
            filtered = "a filter's: pairs kept" if "filter" in kept else ""
            rows.append(_row("planted pairs in the last safe set", filtered, inside, sub=True))
    rows.append(_row("Training time", "", [(duration(_seconds(facts, run)), _speed(run)) for run in runs]))
    return rows


def _control(found: dict[str, Any]) -> tuple[str, str]:
    """Of the other classes the one that the trigger leads to most, and where the attacker's own stands."""
    if not found:
        return "–", ""
    own = f"the attacker's in place {count(found.get('place'))} of {count(found.get('classes'))}"
    return small_percent(found.get("most_asr")), f"{plain(found.get('most_class'), 40)}; {own}"


def settings(facts: Facts) -> list[tuple[str, list[str]]]:
    """Settings that a reader asks about, a value a run."""
    out = []
    for name in _SETTINGS:
        values = [_setting(run, name) for run in facts.runs]
        if any(v != "–" for v in values):
            out.append((name, values))
    evaluated = [_evaluated(run) for run in facts.runs]
    if any(told != "–" for told in evaluated):
        out.append(("evaluated on", evaluated))
    for attack in facts.manifest.attacks if facts.manifest is not None else []:
        about = f"{count(attack['count'])} pairs, {percent(attack['rate'], 2)} of the data, seed {attack['seed']}"
        out.append((f"planted: {plain(attack['name'], 40)}", [about] * len(facts.runs)))
    return out


def machine_rows(facts: Facts) -> list[tuple[str, str]]:
    about = facts.summary.get("machine") or facts.runs[0].made_with
    out = [(name, plain(about[name], 120)) for name in ("cpu", "cores", "gpu", "python", "git") if about.get(name)]
    out += [(plain(k, 40), plain(v, 40)) for k, v in mapping(about.get("versions")).items()]
    if (seconds := number(facts.summary.get("seconds"))) is not None:
        out.append(("everything together", duration(seconds)))
    return out


def _row(
    label: str, about: str, cells: list[tuple[str, str]], attack: bool = False, sub: bool = False
) -> dict[str, Any]:
    return {"label": label, "about": about, "cells": cells, "attack": attack, "sub": sub}


def _seconds(facts: Facts, run: Run) -> float | None:
    """Of its own log; a demo's summary tells those of a run without one."""
    entries = facts.summary.get("runs")
    if run.seconds is not None or run.beside or not isinstance(entries, list):
        return run.seconds
    return next((number(e.get("seconds")) for e in entries if e.get("method") == run.method), None)


def _spent(run: Run) -> str:
    """What a run's epochs went into, where it is not all for the model that is evaluated."""
    looked, final = looking(run), final_epochs(run)
    if looked is not None and final is not None:
        return f"{count(looked)} to look, {count(final)} to learn"
    return "on trusted pairs, from given weights" if run.method == "cleanclip" else ""


def _speed(run: Run) -> str:
    epochs = run.events("epoch")
    pairs, seconds = sum(number(e.get("pairs")) or 0 for e in epochs), run.seconds
    return f"{count(pairs / seconds)} pairs/s" if pairs and seconds else ""


def _setting(run: Run, name: str) -> str:
    own = name.partition(".")[0]
    if own in METHOD_NAMES and run.method != own:
        return "–"
    value: Any = run.config
    for key in name.split("."):
        value = mapping(value).get(key)
    if isinstance(value, list):
        value = ", ".join(map(str, value)) or "none"
    if name == "method":
        value = model_name(value)
    if name == "model.weights" and isinstance(value, str):
        value = value.replace("\\", "/").rsplit("/", 1)[-1]
    if name == "data.spec" and isinstance(value, str):
        value = without_folders(value)
    return "–" if value is None else plain(value, 120)


def _evaluated(run: Run) -> str:
    """Data, split, checkpoint and limit of the last evaluation."""
    about = run.metric("data")
    if not isinstance(about.get("spec"), str):
        return "–"
    limit = number(about.get("limit"))
    parts = [without_folders(about["spec"]), f"split {about.get('split')}", about.get("checkpoint")]
    return plain(", ".join([*(str(p) for p in parts if p), *([f"{count(limit)} pairs at most"] if limit else [])]), 160)
