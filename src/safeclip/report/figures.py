"""The page's charts, from what the runs logged: success rates, similarities and split, outlier scores, safe share."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from markupsafe import Markup

from safeclip.data.spread import spread
from safeclip.report import charts
from safeclip.report.facts import Facts, Run, scores
from safeclip.report.story import attack_names
from safeclip.report.words import attack_name, count, number, percent

_AGREEMENTS = {
    "neighbours": "agreement with the captions of like pictures",
    "caption_neighbours": "agreement with the pictures of like captions",
}
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
                    kind = line_kind(facts, run)
                    rows.append(charts.Interval(group, run.name, kind, a.asr, a.ci95, a.base_rate, text))
    for run in facts.runs:
        zero = run.metric("zero_shot")
        ends = zero.get("ci95")
        if isinstance(ends, list) and None not in map(number, [zero.get("top1"), *ends]):
            top1, classes = zero["top1"], number(zero.get("classes"))
            chance = 1 / classes if classes else None
            group = "Clean zero-shot top-1 (higher is better)"
            kind, text = line_kind(facts, run), percent(top1)
            rows.append(charts.Interval(group, run.name, kind, top1, (ends[0], ends[1]), chance, text))
    return charts.intervals(rows, title="Attack success and clean accuracy of each model, with 95 % intervals")


def histograms(run: Run, planted: np.ndarray) -> list[dict[str, Any]]:
    """A panel a split: {epoch, chart, says, key}; key marks the first, the middle and the last."""
    by_epoch = {int(s["epoch"]): s for s in run.splits if number(s.get("epoch")) is not None}
    there = [e for e in sorted(by_epoch) if run.folder.scores_file(e).is_file()]
    if not there:
        return []
    key = {there[0], there[len(there) // 2], there[-1]}
    some = {there[i] for i in spread(len(there), _MOST_EPOCHS).tolist()} | key
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
    """The last split seen by two signals, the cosine and an agreement of neighbours; None where there was none."""
    epoch, table = _last_scores(run, _AGREEMENTS)
    second = next((name for name in _AGREEMENTS if name in table), None)
    if second is None:
        return None
    points = np.stack([table["similarity"], table[second]], axis=1).astype(float)
    mine, safe = np.isin(table["uid"], planted), table["safe"].astype(bool)
    groups = [
        (kind, [(a, b) for a, b in points[rows][spread(int(rows.sum()), _MOST_POINTS)].tolist()])
        for kind, rows in (("risky", ~mine & ~safe), ("safe", ~mine & safe), ("attack", mine))
    ]
    chart = charts.scatter(
        groups,
        title="Each pair by two signals",
        x_label="similarity of picture and caption (cosine)",
        y_label=_AGREEMENTS[second],
    )
    return {"epoch": epoch, "chart": chart, "shown": _MOST_POINTS}


def outliers(run: Run, planted: np.ndarray, detector: str) -> dict[str, Any] | None:
    """A filter's scores: {chart, all, clean}, each of these two (dropped, of how many pairs); clean is None where no
    planted pair is known. None where the scores are not at hand."""
    _, table = _last_scores(run, ("risk",))
    if "risk" not in table or not np.isfinite(table["risk"]).any():
        return None
    risk, kept = table["risk"].astype(float), table["safe"].astype(bool)
    mine, finite = np.isin(table["uid"], planted), risk[np.isfinite(risk)]
    cut = float(risk[~kept].min()) if not kept.all() else math.inf
    low, high = np.quantile(finite, [0.001, 0.995]).tolist()
    chart = charts.histogram(
        [("safe", risk[kept & ~mine]), ("risky", risk[~kept & ~mine])],
        risk[mine],
        title=f"Outlier scores by {detector}: pairs kept and dropped{', and planted ones' if mine.any() else ''}",
        x_range=(low, max(high, cut + 0.1 * (cut - low)) if math.isfinite(cut) else high),
        x_label=f"outlier score ({detector})",
        cut=cut,
    )
    clean = (int((~kept & ~mine).sum()), int((~mine).sum()))
    return {"chart": chart, "all": (int((~kept).sum()), len(kept)), "clean": clean if mine.any() else None}


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


def line_kind(facts: Facts, run: Run) -> str:
    """CSS classes of a run's lines: plain CLIP's own colour; the others are told apart by their strokes."""
    others = [other for other in facts.runs if other.method != "clip"]
    return "clip" if run.method == "clip" else f"safeclip dash{next(i for i, o in enumerate(others) if o is run)}"


def _last_scores(run: Run, more: Collection[str]) -> tuple[int, dict[str, np.ndarray]]:
    """Epoch and scores of the last split, as `scores` has them; no column where they are not at hand."""
    epoch = number(run.splits[-1].get("epoch")) if run.splits else None
    table = scores(run, int(epoch), more) if epoch is not None else None
    return int(epoch or 0), table or {}


def _components(split: dict[str, Any]) -> list[tuple[float, float, float]]:
    parts = [split.get(name) for name in ("means", "variances", "weights")]
    if not all(isinstance(p, list) and None not in map(number, p) for p in parts):
        return []
    return [(float(m), float(v), float(w)) for m, v, w in zip(*parts, strict=False)]  # type: ignore[arg-type]
