"""The page's charts of a bench: success with intervals, success against clean accuracy, planted pairs in the safe set.

What must stay true: an attack that did not plant is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from safeclip.bench.measure import Record
from safeclip.bench.scoreboard import attacked
from safeclip.bench.spec import BASELINE
from safeclip.bench.table import MANY, Row, Table, attack_in
from safeclip.bench.wording import row_title
from safeclip.report import charts
from safeclip.report.words import count, model_name, percent, sentence


def success(table: Table) -> list[Markup]:
    """A chart an attack that planted: each method's pooled success with what lies around it (`Pooled.around`)."""
    panels = []
    for row in attacked(table):
        rows, title = [], sentence(row_title(row))
        for method in table.methods:
            own = row.cells[method]
            if own is not None and own.n:
                text = f"{count(own.k)} of {count(own.n)}" if own.n <= MANY else percent(own.k / own.n)
                kind = "clip" if method == BASELINE else "safeclip"
                share, name = own.k / own.n, model_name(method)
                rows.append(charts.Interval(title, name, kind, share, own.around, own.base_rate, text))
        panels.append(charts.intervals(rows, title=f"{title}: success under each method"))
    return panels


def trade(table: Table) -> list[dict[str, Any]]:
    """A panel a method: {name, chart}, its runs among all others by attack success and clean top-1, in per cent."""
    points: dict[str, list[tuple[float, float]]] = {method: [] for method in table.methods}
    for row, method, record in _runs(table):
        found, zero = attack_in(record, row.attack), record["zero_shot"]
        if found is not None and zero:
            points[method].append((100 * found["asr"], 100 * zero["top1"]))
    panels = []
    for method, own in points.items():
        others = [point for name, some in points.items() if name != method for point in some]
        chart = charts.scatter(
            [("risky", others), ("attack" if method == BASELINE else "safe", own)],
            title=f"Attack success and clean top-1 of {model_name(method)}, the other methods' runs in grey",
            x_label="attack success, %",
            y_label="clean zero-shot top-1, %",
            x_range=(0, 100),
            width=charts.PANEL,
        )
        if own and chart:
            panels.append({"name": sentence(model_name(method)), "chart": chart})
    return panels


def inside(table: Table) -> list[dict[str, Any]]:
    """A panel an attack: {name, chart}, the share of its planted pairs in the safe set of each run that splits its data
    more than once, by epoch. A line a seed; the numbers beside its method's last say how many got in, seed by seed."""
    panels = []
    for row in attacked(table):
        lines = []
        for place, method in enumerate(table.methods):
            runs = [_inside(record, row.attack) for _, label, record in _runs(table, row) if label == method]
            runs = [points for points in runs if len(points) > 1]
            told = f"{model_name(method)} {', '.join(count(points[-1][1]) for points in runs)}"
            total = {points[-1][2] for points in runs}
            label = f"{told} of {count(total.pop())}" if len(total) == 1 else told
            kind = ("safeclip", "attack", "clip")[max(0, place - 1) % 3]
            for i, points in enumerate(runs):
                shares = [(epoch, inside / planted) for epoch, inside, planted in points]
                lines.append(charts.Line(label if i == len(runs) - 1 else "", f"{kind} dash{i}", shares))
        title = f"Share of the pairs planted by {row_title(row)} in the safe set, by epoch"
        chart = charts.line_chart(lines, title=title, x_label="epoch", percent=True, y_range=(0.0, 1.0))
        if chart:
            panels.append({"name": sentence(row_title(row)), "chart": chart})
    return panels


def _inside(record: Record, attack: str) -> list[tuple[float, int, int]]:
    """Epoch, planted pairs in the safe set and all of them, a split that says so."""
    told = [(s["epoch"], (s["planted_by_attack"] or {}).get(attack)) for s in record["splits"]]
    return [(float(epoch), pair[0], pair[1]) for epoch, pair in told if pair and pair[1]]


def _runs(table: Table, only: Row | None = None) -> Iterator[tuple[Row, str, Record]]:
    """Row, method and record of the runs that count."""
    for row in attacked(table) if only is None else [only]:
        for record in table.records:
            if record["group"] == row.group and record["seed"] in row.took:
                yield row, record["label"], record
