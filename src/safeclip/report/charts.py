"""Charts as inline SVG: pure functions from numbers to markup.

What must stay true: every coordinate is finite (points that are not are left out), every label is escaped, and a chart
says in words (title, end labels) what its colours say. Colours are CSS classes of style.css, so that dark mode and
print have their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from safeclip.report.words import plain

WIDTH, HEIGHT = 480, 290
PANEL = 350
_LEFT, _TOP, _BOTTOM = 50, 30, 44


@dataclass(frozen=True)
class Line:
    """A line of points. kind: CSS class; label: shown at its end; points: (x, y)."""

    label: str
    kind: str
    points: Sequence[tuple[float, float]]
    marks: bool = True


@dataclass(frozen=True)
class Interval:
    """A row of an interval plot: share, its interval, and the base rate where there is one. group: heading above it."""

    group: str
    label: str
    kind: str
    share: float
    ci95: tuple[float, float]
    base_rate: float | None
    text: str


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    percent: bool = False,
    y_range: tuple[float, float] | None = None,
    bands: Sequence[tuple[float, float, str]] = (),
) -> Markup:
    """Lines over a common x, named at their ends. bands: (from, to, label); those with a label are shaded behind them,
    of neighbours every other one."""
    kept = [(line, _finite(line.points)) for line in lines]
    kept = [(line, points) for line, points in kept if points]
    if not kept:
        return Markup("")
    xs = [x for _, points in kept for x, _ in points] + [edge for band in bands for edge in band[:2]]
    ys = [y for _, points in kept for _, y in points]
    right = 14 + 7.6 * max(len(plain(line.label, 34)) for line, _ in kept)
    low, high = y_range or _round_range(min(ys), max(ys))
    x, y = _axis(min(xs), max(xs), _LEFT, WIDTH - right), _axis(low, high, HEIGHT - _BOTTOM, _TOP)
    out = []
    shaded = False
    for start, end, label in bands:
        shaded = bool(label) and not shaded
        if shaded:
            out.append(_tag("rect", "band", x=x(start), y=_TOP, width=x(end) - x(start), height=y(low) - _TOP))
        roomy = x(end) - x(start) > 7.5 * len(label) + 10
        if roomy or x(end) - x(start) > 3 * len(label):
            at, anchor = ((x(start) + x(end)) / 2, "middle") if roomy else (x(start) + 1, "start")
            out.append(_text(at, _TOP - 8, label, "tick", anchor))
    out += _y_ticks(y, low, high, WIDTH - right, percent) + _x_ticks(x, min(xs), max(xs), whole=True)
    out.append(_text((_LEFT + WIDTH - right) / 2, HEIGHT - 6, x_label, "label", "middle"))
    for line, points in kept:
        path = "M" + " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        out.append(_tag("path", f"line {line.kind}" + ("" if line.marks else " faint"), d=path))
        if line.marks and len(points) <= 60:
            out += [_tag("circle", f"dot {line.kind}", cx=x(a), cy=y(b), r=2.4) for a, b in points]
    named = [(line, points[-1][1]) for line, points in kept if line.label]
    for (line, _), end in zip(named, _apart([y(last) for _, last in named], 15, _TOP, y(low)), strict=True):
        out.append(_text(WIDTH - right + 8, end + 4, plain(line.label, 34), f"end {line.kind}"))
    return _svg(out, title)


def histogram(
    stacked: Sequence[tuple[str, np.ndarray]],
    outlined: np.ndarray,
    *,
    title: str,
    x_range: tuple[float, float],
    curves: Sequence[tuple[float, float, float]] = (),
    x_label: str = "similarity of picture and caption (cosine)",
    cut: float | None = None,
    cut_label: str = "cut",
    bins: int = 44,
) -> Markup:
    """Densities: groups stacked to one area, `outlined` (the planted pairs) to its own, and a mixture's components.

    stacked: (CSS class, values). curves: (mean, variance, weight) of each component.
    """
    low, high = x_range
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return Markup("")
    step = (high - low) / bins
    stack = _densities([values for _, values in stacked], x_range, bins)
    outline = _densities([outlined], x_range, bins)[0]
    tall = max(float(stack.sum(0).max()), float(outline.max()), 1e-9)
    curves = [(m, v, w) for m, v, w in curves if v > 0 and all(map(math.isfinite, (m, v, w)))]
    peak = max([w / math.sqrt(2 * math.pi * v) for _, v, w in curves] + [0.0])
    tall = max(tall, min(peak, 1.5 * tall))
    left, right = 8, PANEL - 8
    x, y = _axis(low, high, left, right), _axis(0, tall * 1.06, HEIGHT - _BOTTOM, _TOP)
    out = []
    base = np.zeros(bins)
    for (kind, _), density in zip(stacked, stack, strict=True):
        for i in np.flatnonzero(density).tolist():
            shape = {"x": x(low + i * step), "y": y(base[i] + density[i]), "width": x(low + step) - left - 0.6}
            out.append(_tag("rect", f"bar {kind}", **shape, height=y(base[i]) - y(base[i] + density[i])))
        base = base + density
    if outline.any():
        points = [(low, 0.0)]
        for i, value in enumerate(outline.tolist()):
            points += [(low + i * step, value), (low + (i + 1) * step, value)]
        points.append((high, 0.0))
        out.append(_tag("path", "outline attack", d="M" + " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points) + "Z"))
    for mean, variance, weight in curves:
        grid = [low + (high - low) * i / 120 for i in range(121)]
        tip = weight / math.sqrt(2 * math.pi * variance)
        bell = [(a, tip * math.exp(-((a - mean) ** 2) / (2 * variance))) for a in grid]
        out.append(_tag("path", "curve", d="M" + " ".join(f"{x(a):.1f},{max(y(b), _TOP):.1f}" for a, b in bell)))
    out.append(_tag("line", "axis", x1=left, x2=right, y1=y(0), y2=y(0)))
    out += _x_ticks(x, low, high)
    if cut is not None and low <= cut <= high:
        out.append(_tag("line", "cut", x1=x(cut), x2=x(cut), y1=_TOP - 4, y2=y(0)))
        side = "start" if x(cut) < PANEL / 2 else "end"
        out.append(_text(x(cut) + (6 if side == "start" else -6), _TOP + 4, cut_label, "end ink", side))
    out.append(_text(PANEL / 2, HEIGHT - 6, x_label, "label", "middle"))
    return _svg(out, title, width=PANEL)


def scatter(
    groups: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    width: int = WIDTH,
) -> Markup:
    """Groups of points, (CSS class, points), later ones on top."""
    kept = [(kind, _finite(points)) for kind, points in groups]
    every = [point for _, points in kept for point in points]
    if len(every) < 2:
        return Markup("")
    (x0, x1), (y0, y1) = ((min(p[i] for p in every), max(p[i] for p in every)) for i in (0, 1))
    (x0, x1), right = x_range or (x0, x1), width - 12
    x, y = _axis(x0, x1, _LEFT, right), _axis(y0, y1, HEIGHT - _BOTTOM, _TOP)
    out = _y_ticks(y, y0, y1, right, False) + _x_ticks(x, x0, x1)
    for kind, points in kept:
        out.append(_tag("path", f"points {kind}", d="".join(f"M{x(a):.1f},{y(b):.1f}h0" for a, b in points)))
    out.append(_text((_LEFT + width) / 2, HEIGHT - 6, x_label, "label", "middle"))
    out.append(_text(_LEFT, 16, y_label, "label"))
    return _svg(out, title, width=width)


def intervals(rows: Sequence[Interval], *, title: str) -> Markup:
    """One row a share: dot, 95 % interval, a tick at the base rate, the number in words at the right."""
    if not rows:
        return Markup("")
    right, height = 150, 26
    left = max(96.0, 12 + 7.2 * max(len(plain(row.label, 20)) for row in rows))
    x = _axis(0, 1, left, WIDTH - right)
    out, at, group = [], 14.0, None
    marks = []
    for row in rows:
        if row.group != group:
            group, at = row.group, at + (10 if group is not None else 0)
            marks.append(_text(0, at + 4, plain(group, 60), "group"))
            at += 24
        marks.append(_text(0, at + 4, plain(row.label, 20), f"end {row.kind}"))
        if row.base_rate is not None:
            marks.append(_tag("line", "base", x1=x(row.base_rate), x2=x(row.base_rate), y1=at - 8, y2=at + 8))
        marks.append(_tag("line", f"whisker {row.kind}", x1=x(row.ci95[0]), x2=x(row.ci95[1]), y1=at, y2=at))
        marks.append(_tag("circle", f"dot {row.kind}", cx=x(row.share), cy=at, r=5))
        marks.append(_text(WIDTH - right + 14, at + 4, plain(row.text, 30), f"end {row.kind}"))
        at += height
    for tick in (0, 0.25, 0.5, 0.75, 1):
        out.append(_tag("line", "grid", x1=x(tick), x2=x(tick), y1=24, y2=at - 6))
        out.append(_text(x(tick), at + 10, f"{round(100 * tick)} %", "tick", "middle"))
    return _svg(out + marks, title, height=at + 18)


def _svg(parts: list[Markup], title: str, height: float = HEIGHT, width: float = WIDTH) -> Markup:
    shape = Markup('<svg class="{}" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}"><title>{}</title>{}</svg>')
    kind = "panel" if width == PANEL else "chart"
    return shape.format(kind, width, height, plain(title), plain(title), Markup("").join(parts))


def _tag(name: str, kind: str, **attributes: Any) -> Markup:
    values = (f"{v:.1f}" if isinstance(v, float) else v for v in attributes.values())
    text = Markup(" ").join(Markup('{}="{}"').format(k, v) for k, v in zip(attributes, values, strict=True))
    return Markup('<{} class="{}" {}/>').format(Markup(name), kind, text)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    shape = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return shape.format(kind, x, y, anchor, escape(plain(text)))


def _axis(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values within low..high, `most` of them or a few less.

    >>> ticks(0, 16)
    [0.0, 5.0, 10.0, 15.0]
    """
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(m for m in (1, 2, 5, 10, 20) if (high - low) / (step * m) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _y_ticks(y: Callable[[float], float], low: float, high: float, right: float, percent: bool) -> list[Markup]:
    out = []
    for value in ticks(low, high, 5):
        out.append(_tag("line", "grid", x1=_LEFT, x2=right, y1=y(value), y2=y(value)))
        says = f"{100 * value:.0f} %" if percent else f"{value:g}"
        out.append(_text(_LEFT - 8, y(value) + 4, says, "tick", "end"))
    return out


def _x_ticks(x: Callable[[float], float], low: float, high: float, whole: bool = False) -> list[Markup]:
    values = [v for v in ticks(low, high, 8) if not whole or v == round(v)]
    return [_text(x(v), HEIGHT - _BOTTOM + 17, f"{round(v, 6) + 0:g}", "tick", "middle") for v in values]


def _round_range(low: float, high: float) -> tuple[float, float]:
    """From zero, or from just under the least value where that is far from zero."""
    floor = 0.0 if 0 <= low < 0.5 * high or low == high >= 0 else low
    return floor, high + 0.05 * ((high - floor) or 1.0)


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in points if math.isfinite(a) and math.isfinite(b)]


def _densities(groups: Sequence[np.ndarray], x_range: tuple[float, float], bins: int) -> np.ndarray:
    """Densities (G, bins) of the groups, together of area 1; values outside the range count in the end bins."""
    finite = [np.asarray(values, np.float64)[np.isfinite(values)].clip(*x_range) for values in groups]
    counts = np.stack([np.histogram(values, bins, x_range)[0] for values in finite])
    return counts / max(1, int(counts.sum())) * bins / (x_range[1] - x_range[0])


def _apart(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Label places near the wanted ones, at least `gap` apart, within low..high as far as there is room."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [min(max(wanted[i], low), high) for i in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    if placed and placed[-1] > high + gap:
        placed[-1] = high + gap
    for i in range(len(placed) - 2, -1, -1):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    out = [0.0] * len(wanted)
    for place, i in zip(placed, order, strict=True):
        out[i] = place
    return out
