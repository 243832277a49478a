"""The page's charts, from what the runs logged: similarities and split, safe share, losses, success rates."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from safeclip.report import charts
from safeclip.report.facts import Facts, Run, scores
from safeclip.report.story import attack_names
from safeclip.report.words import attack_name, count, number, percent

_PHASES = {"warmup": "warm-up", "align": "align", "defend": "defended", "clip": ""}
_MOST_EPOCHS, _MOST_POINTS = 24, 1500


def success(facts: Facts) -> Markup:
    """Attack success of each model, with 95 % intervals and base rates."""
    rows = []
    for name in attack_names(facts):
        for run in facts.runs:
            for a in run.attacks:
                if a.name == name:
                    text = f"{a.k} of {a.n}" if a.n <= 100 else f"{percent(a.asr)}"
                    group = attack_name(name)
                    rows.append(charts.Interval(group, run.name, _kind(run), a.asr, a.ci95, a.base_rate, text))
    for run in facts.runs:
        zero = run.metrics.get("zero_shot")
        ends = zero.get("ci95") if isinstance(zero, dict) else None
        if isinstance(zero, dict) and isinstance(ends, list) and None not in map(number, [zero.get("top1"), *ends]):
            top1, classes = zero["top1"], number(zero.get("classes"))
            chance = 1 / classes if classes else None
            group = "Clean zero-shot top-1 (higher is better)"
            rows.append(charts.Interval(group, run.name, _kind(run), top1, (ends[0], ends[1]), chance, percent(top1)))
    return charts.intervals(rows, title="Attack success and clean accuracy of each model, with 95 % intervals")


def histograms(run: Run, planted: np.ndarray) -> list[dict[str, Any]]:
    """A panel a split: {epoch, chart, says, key}; key marks the first, the middle and the last."""
    epochs = [int(e) for s in run.splits if (e := number(s.get("epoch"))) is not None]
    by_epoch = {int(s["epoch"]): s for s in run.splits if number(s.get("epoch")) is not None}
    there = [e for e in sorted(set(epochs)) if run.folder.scores_file(e).is_file()]
    if not there:
        return []
    key = {there[0], there[len(there) // 2], there[-1]}
    spread = np.linspace(0, len(there) - 1, min(len(there), _MOST_EPOCHS)).astype(int)
    some = {there[i] for i in spread.tolist()} | key
    out = []
    for epoch in sorted(some):
        table = scores(run, epoch)
        if table is None or not np.isfinite(table["similarity"]).any():
            continue
        similarity, safe = table["similarity"], table["safe"].astype(bool)
        low, high = np.quantile(similarity[np.isfinite(similarity)], [0.0005, 0.9995]).tolist()
        mine = np.isin(table["uid"], planted)
        split = by_epoch[epoch]
        bound = similarity[safe].min() if safe.any() else np.inf
        sharp = not (similarity[~safe] > bound).any()
        chart = charts.histogram(
            [("safe", similarity[safe & ~mine]), ("risky", similarity[~safe & ~mine])],
            similarity[mine],
            title=f"Similarities before epoch {epoch}: safe and risky pairs, planted pairs, and the fitted mixture",
            x_range=(low, high),
            curves=_components(split),
            cut=number(split.get("cut")) if sharp else None,
        )
        says = f"safe: {percent(safe.mean(), 0)} of all pairs"
        if mine.any():
            says += f", {int((mine & safe).sum())} of {int(mine.sum())} planted"
        out.append({"epoch": epoch, "chart": chart, "says": says, "key": epoch in key, "sharp": sharp})
    return out


def two_signals(run: Run, planted: np.ndarray) -> dict[str, Any] | None:
    """The last split seen by two signals: cosine and neighbour agreement; None where there was one signal."""
    for split in run.splits[-1:]:
        epoch = number(split.get("epoch"))
        table = scores(run, int(epoch)) if epoch is not None else None
        if table is None or "neighbours" not in table:
            return None
        points = np.stack([table["similarity"], table["neighbours"]], axis=1).astype(float)
        mine, safe = np.isin(table["uid"], planted), table["safe"].astype(bool)
        groups = [
            (kind, [(a, b) for a, b in points[_some(np.flatnonzero(rows))].tolist()])
            for kind, rows in (("risky", ~mine & ~safe), ("safe", ~mine & safe), ("attack", mine))
        ]
        chart = charts.scatter(
            groups,
            title="Each pair by two signals: planted pairs lie low on the second",
            x_label="similarity of picture and caption (cosine)",
            y_label="agreement with the captions of like pictures",
        )
        return {"epoch": int(epoch or 0), "chart": chart, "shown": _MOST_POINTS}
    return None


def safe_share(run: Run) -> Markup:
    """Share of all pairs, and of each attack's planted pairs, in the safe set at each split."""
    splits = [s for s in run.splits if number(s.get("epoch")) is not None and number(s.get("safe_share")) is not None]
    if not splits:
        return Markup("")
    points = [(float(s["epoch"]), float(s["safe_share"])) for s in splits]
    lines = [charts.Line(f"all pairs {percent(points[-1][1], 0)}", "safeclip", points)]
    names = sorted({n for s in splits for n in (s.get("planted_by_attack") or {})}, reverse=True)
    for i, name in enumerate(names):
        told = [s for s in splits if name in (s.get("planted_by_attack") or {})]
        own = [(float(s["epoch"]), s["planted_by_attack"][name]) for s in told]
        inside, total = own[-1][1]
        label = f"{attack_name(name)} {count(inside)} of {count(total)}"
        lines.append(charts.Line(label, f"attack dash{i}", [(e, a / b) for e, (a, b) in own if b]))
    title = "Share of all pairs and of the planted pairs in the safe set, by epoch"
    return charts.line_chart(lines, title=title, x_label="epoch", percent=True, y_range=(0.0, 1.0))


def losses(facts: Facts) -> list[dict[str, Any]]:
    """A panel an objective: mean loss by epoch over the steps logged, of each run; the defended run's phases behind."""
    out = []
    longest = max(facts.runs, key=lambda run: len({e.get("phase") for e in run.events("epoch")}))
    for objective, says in (("clip", "CLIP loss"), ("unimodal", "Unimodal loss")):
        lines = []
        for run in facts.runs:
            lines += _steps(run, objective)
            epochs = [e for e in run.events("epoch") if isinstance(e.get("loss"), dict)]
            means = [(number(e.get("epoch")), number(e["loss"].get(objective))) for e in epochs]
            points = [(epoch, loss) for epoch, loss in means if epoch is not None and loss is not None]
            lines.append(charts.Line(run.name, _kind(run), points))
        chart = charts.line_chart(lines, title=f"{says} by epoch", x_label="epoch", bands=_phases(longest))
        if chart:
            out.append({"name": says, "chart": chart})
    return out


def _steps(run: Run, objective: str) -> list[charts.Line]:
    """The logged steps, thin and without a name, each at its place within its epoch."""
    told = [s for s in run.events("step") if None not in (number(s.get(k)) for k in ("epoch", "step", "loss"))]
    steps = [(s["epoch"], s["step"], float(s["loss"]), s.get("objective")) for s in told]
    last: dict[float, float] = {}
    for epoch, step, _, _ in steps:
        last[epoch] = max(last.get(epoch, 0), step)
    points = []
    for epoch, step, loss, kind in steps:
        before = last.get(epoch - 1, 0)
        if kind == objective:
            points.append((epoch - 1 + (step - before) / max(1, last[epoch] - before), loss))
    thin = max(1, len(points) // 400)
    return [charts.Line("", _kind(run), points[::thin], marks=False)] if points else []


def _phases(run: Run) -> list[tuple[float, float, str]]:
    """Runs of epochs of one phase: (from, to, name)."""
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


def _components(split: dict[str, Any]) -> list[tuple[float, float, float]]:
    parts = [split.get(name) for name in ("means", "variances", "weights")]
    if not all(isinstance(p, list) and None not in map(number, p) for p in parts):
        return []
    return [(float(m), float(v), float(w)) for m, v, w in zip(*parts, strict=False)]  # type: ignore[arg-type]


def _some(rows: np.ndarray) -> np.ndarray:
    """At most _MOST_POINTS of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_POINTS)).astype(int)] if len(rows) else rows


def _kind(run: Run) -> str:
    return "clip" if run.method == "clip" else "safeclip"
