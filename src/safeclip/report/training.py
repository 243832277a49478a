"""How each run trained: what its method did, the losses by epoch, and what it noted.

What must stay true: every objective that a run logged has a chart, whatever the method; an unknown one keeps its own
name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safeclip.config.methods import POOL_MOST
from safeclip.report import charts
from safeclip.report.facts import Facts, Run
from safeclip.report.figures import line_kind
from safeclip.report.words import count, listed, mapping, number, percent, plain, sentence

_OBJECTIVES = {
    "clip": ("CLIP loss", "Contrastive loss between pictures and captions."),
    "unimodal": (
        "Unimodal loss",
        "Contrastive loss within each modality: two views of one picture, two of one caption, each against its nearest "
        "neighbour in a pool of past ones.",
    ),
    "one_view": (
        "Unimodal loss of one view",
        "Contrastive loss within each modality: a picture, and a caption, each against its nearest neighbour in a pool "
        "of past ones.",
    ),
    "match": (
        "Matching loss",
        "The CLIP loss of RoCLIP's matching epochs: each picture against the nearest caption of the pool.",
    ),
    "cleanclip": (
        "CleanCLIP loss",
        "The CLIP loss, and beside it a contrastive loss within each modality: two views of one picture, two of one "
        "caption.",
    ),
}
"""Name and description of each, in the order of the page."""
_PHASES = {
    "warmup": "warm-up",
    "align": "align",
    "defend": "defended",
    "match": "match",
    "look": "look",
    "retrain": "retrain",
    "clip": "",
    "finetune": "",
}
"""Names in the charts; a phase that is a method's only, or usual, one needs none."""
_AFRESH = frozenset({"retrain"})
"""Phases that start from untrained weights."""
_NOTES = 6


def losses(facts: Facts) -> list[dict[str, Any]]:
    """A panel an objective: {name, about, chart, several}: the mean loss by epoch of each run, its single steps behind.
    Phases are named where one run alone has any."""
    seen = {str(name) for run in facts.runs for line in run.events("epoch") for name in mapping(line.get("loss"))}
    phased = [bands for run in facts.runs if (bands := _bands(run))]
    out = []
    for objective in [*(o for o in _OBJECTIVES if o in seen), *sorted(seen - _OBJECTIVES.keys())]:
        name, about = _OBJECTIVES.get(objective, (f"{plain(objective, 40)} loss", ""))
        lines = [line for run in facts.runs for line in _lines(run, objective, line_kind(facts, run))]
        bands = phased[0] if len(phased) == 1 else []
        chart = charts.line_chart(lines, title=f"{name} by epoch", x_label="epoch", bands=bands)
        if chart:
            named = sum(bool(line.label) for line in lines)
            out.append({"name": name, "about": about, "chart": chart, "several": named > 1})
    return out


def told(facts: Facts) -> list[str]:
    """What a method does that no other section tells, a paragraph a run."""
    return [_TOLD[run.method](run) for run in facts.runs if run.method in _TOLD]


def notes(facts: Facts) -> list[str]:
    """What the runs noted in their logs, the first few of each."""
    out = []
    for run in facts.runs:
        name = sentence(run.name)
        noted = [line for line in run.events("note") if isinstance(line.get("text"), str)]
        out += [f"{name}, epoch {count(e.get('epoch'))}: {plain(e['text'], 200)}." for e in noted[:_NOTES]]
        if len(noted) > _NOTES:
            out.append(f"{name}: {count(len(noted) - _NOTES)} more notes in log.jsonl.")
    return out


def _roclip(run: Run) -> str:
    own = run.section("roclip")
    size, share = number(own.get("pool_size")), number(own.get("pool_share"))
    pool = "past captions" if size is None else f"{count(size)} past captions"
    pairs = next((number(line.get("pairs")) for line in run.events("start")), None)
    if size is None and share is not None:
        limited = pairs is not None and share * pairs > POOL_MOST
        pool = f"{count(POOL_MOST)} past captions" if limited else f"{pool} ({percent(share)} of the data)"
    epochs = [count(line.get("epoch")) for line in run.events("epoch") if line.get("phase") == "match"]
    when = f", in {'epoch' if len(epochs) == 1 else 'epochs'} {listed(epochs)}," if epochs else ""
    return (
        f"{sentence(run.name)} trains as plain CLIP does, but every few epochs{when} each picture learns with the "
        f"caption that is nearest to it among {pool}, instead of its own. A planted caption meets its picture there "
        "only where it is the nearest already."
    )


def _cleanclip(run: Run) -> str:
    pairs = next((number(line.get("pairs")) for line in run.events("start")), None)
    trusted = "trusted pairs" if pairs is None else f"{count(pairs)} trusted pairs"
    return (
        f"{sentence(run.name)} mends a trained model, which may be poisoned: it goes on training on {trusted}, and a "
        "loss within each modality is to loosen what ties a trigger to the attacker's captions."
    )


def _filter(run: Run) -> str:
    return (
        f"{sentence(run.name)} trains twice: its first model only looks, the final one starts from untrained weights, "
        "on the pairs that were kept."
    )


_TOLD: dict[str, Callable[[Run], str]] = {"roclip": _roclip, "cleanclip": _cleanclip, "filter": _filter}


def _lines(run: Run, objective: str, kind: str) -> list[charts.Line]:
    """The logged steps, thin, and the epochs' means: a line a training that started afresh, the last one named."""
    parts: list[list[tuple[float, float]]] = [[]]
    before = None
    for line in run.events("epoch"):
        epoch, loss = number(line.get("epoch")), number(mapping(line.get("loss")).get(objective))
        if line.get("phase") in _AFRESH and before not in _AFRESH:
            parts.append([])
        before = line.get("phase")
        if epoch is not None and loss is not None:
            parts[-1].append((epoch, loss))
    whole = [part for part in parts if part]
    lines = [charts.Line(run.name if part is whole[-1] else "", kind, part) for part in whole]
    return [*_steps(run, objective, kind), *lines]


def _steps(run: Run, objective: str, kind: str) -> list[charts.Line]:
    """The logged steps, each at its place within its epoch."""
    told = [s for s in run.events("step") if None not in (number(s.get(k)) for k in ("epoch", "step", "loss"))]
    steps = [(s["epoch"], s["step"], float(s["loss"]), s.get("objective")) for s in told]
    last: dict[float, float] = {}
    for line in [*told, *run.events("epoch")]:
        end, step = number(line.get("epoch")), number(line.get("step"))
        if end is not None and step is not None:
            last[end] = max(last.get(end, 0), step)
    points = []
    for epoch, step, loss, name in steps:
        before = last.get(epoch - 1, 0)
        if name == objective:
            points.append((epoch - 1 + (step - before) / max(1, last[epoch] - before), loss))
    thin = max(1, len(points) // 400)
    return [charts.Line("", kind, points[::thin], marks=False)] if points else []


def _bands(run: Run) -> list[tuple[float, float, str]]:
    """Runs of epochs of one phase: (from, to, name); empty where none needs a name."""
    bands: list[tuple[float, float, str]] = []
    for event in run.events("epoch"):
        epoch = number(event.get("epoch"))
        if epoch is None:
            continue
        name = _PHASES.get(str(event.get("phase")), "")
        if bands and bands[-1][2] == name:
            bands[-1] = (bands[-1][0], epoch, name)
        else:
            bands.append((epoch - 1, epoch, name))
    return bands if any(name for _, _, name in bands) else []
