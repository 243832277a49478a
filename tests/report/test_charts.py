"""Charts: finite coordinates, escaped labels, areas and places that are those of the numbers."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from safeclip.report import charts

HOSTILE = '<script>"&]]>'


def parsed(markup):
    """The chart as XML: well-formed, every coordinate a finite number."""
    tree = ElementTree.fromstring(str(markup))
    for element in tree.iter():
        for name, value in element.attrib.items():
            if name not in ("class", "role", "aria-label", "text-anchor"):
                for part in re.findall(r"[^\s,MhZ]+", value):
                    assert math.isfinite(float(part)), (element.tag, name, value)
    return tree


def found(tree, tag, kind):
    return [e for e in tree.iter(tag) if kind in e.get("class", "").split()]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_points_that_are_not_finite_are_left_out(bad):
    line = charts.Line("a", "clip", [(1, 2), (2, bad), (3, 4), (bad, 1)])
    tree = parsed(charts.line_chart([line], title="t", x_label="x"))
    assert len(found(tree, "circle", "dot")) == 2
    parsed(charts.histogram([("safe", np.array([0.1, bad, 0.3]))], np.array([bad]), title="t", x_range=(0, 1)))
    parsed(charts.scatter([("safe", [(0, 0), (1, bad), (1, 2)])], title="t", x_label="x", y_label="y"))


@pytest.mark.parametrize(
    "points", [[], [(1.0, 5.0)], [(1.0, 0.0), (2.0, 0.0)], [(3.0, -2.0), (3.0, -2.0)], [(0.0, 1e-12), (1.0, 1e12)]]
)
def test_few_and_flat_points_draw(points):
    markup = charts.line_chart([charts.Line("a", "clip", points)], title="t", x_label="x")
    assert (markup == "") == (not points)
    if points:
        parsed(markup)


def test_labels_are_escaped():
    band = [(0.0, 100.0, HOSTILE)]
    for markup in (
        charts.line_chart(
            [charts.Line(HOSTILE, "clip", [(0, 1), (100, 2)])], title=HOSTILE, x_label=HOSTILE, bands=band
        ),
        charts.intervals([charts.Interval(HOSTILE, HOSTILE, "clip", 0.5, (0.4, 0.6), 0.1, HOSTILE)], title=HOSTILE),
        charts.histogram(
            [("safe", np.zeros(3))], np.zeros(0), title=HOSTILE, x_range=(-1, 1), cut=0.1, cut_label=HOSTILE
        ),
    ):
        tree = parsed(markup)
        assert "<script" not in markup
        assert HOSTILE in "".join(tree.itertext())


def test_bars_have_the_area_of_their_group_and_the_planted_ones_that_of_all():
    rng = np.random.default_rng(0)
    safe, risky = rng.uniform(0, 1, 3000), rng.uniform(0, 1, 1000)
    tree = parsed(
        charts.histogram([("safe", safe), ("risky", risky)], rng.uniform(0, 1, 10), title="t", x_range=(0, 1))
    )
    area = {kind: sum(float(e.get("height")) for e in found(tree, "rect", kind)) for kind in ("safe", "risky")}
    assert area["safe"] / area["risky"] == pytest.approx(3, rel=0.02)
    points = [tuple(map(float, p.split(","))) for p in found(tree, "path", "outline")[0].get("d").strip("MZ").split()]
    under = sum((b[0] - a[0]) * (points[0][1] - a[1]) for a, b in itertools.pairwise(points))
    bar = found(tree, "rect", "safe")[0]
    assert under == pytest.approx(sum(area.values()) * (float(bar.get("width")) + 0.6), rel=0.03)


def test_values_outside_the_range_count_at_its_ends():
    tree = parsed(charts.histogram([("safe", np.array([-5.0, 0.5, 5.0]))], np.empty(0), title="t", x_range=(0, 1)))
    assert len(found(tree, "rect", "bar")) == 3


def test_the_cut_stands_where_it_is():
    tree = parsed(charts.histogram([("safe", np.linspace(0, 1, 50))], np.empty(0), title="t", x_range=(0, 1), cut=0.25))
    axis, cut = found(tree, "line", "axis")[0], found(tree, "line", "cut")[0]
    left, right = float(axis.get("x1")), float(axis.get("x2"))
    assert float(cut.get("x1")) == pytest.approx(left + (right - left) / 4, abs=0.1)


def test_a_mixture_curve_peaks_at_its_mean():
    values = np.random.default_rng(0).normal(0.5, 0.1, 1000)
    tree = parsed(
        charts.histogram([("safe", values)], np.empty(0), title="t", x_range=(0, 1), curves=[(0.5, 0.01, 1.0)])
    )
    points = [tuple(map(float, p.split(","))) for p in found(tree, "path", "curve")[0].get("d").strip("M").split()]
    assert min(points, key=lambda p: p[1])[0] == pytest.approx(charts.PANEL / 2, abs=2)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_a_component_without_width_is_left_out(variance):
    tree = parsed(
        charts.histogram([("safe", np.zeros(3))], np.empty(0), title="t", x_range=(-1, 1), curves=[(0, variance, 1)])
    )
    assert not found(tree, "path", "curve")


def test_end_labels_keep_apart():
    lines = [charts.Line(f"line {i}", "clip", [(0, 0), (1, 1 + i / 1000)]) for i in range(4)]
    tree = parsed(charts.line_chart(lines, title="t", x_label="x"))
    places = sorted(float(e.get("y")) for e in found(tree, "text", "end"))
    assert min(b - a for a, b in itertools.pairwise(places)) >= 14.9


def test_intervals_lie_on_a_scale_from_nothing_to_all():
    rows = [charts.Interval("g", str(s), "clip", s, (s, s), None, "") for s in (0.0, 0.5, 1.0)]
    xs = [float(e.get("cx")) for e in found(parsed(charts.intervals(rows, title="t")), "circle", "dot")]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 16), (-0.13, 0.61), (1e-9, 2e-9), (0, 1e6), (5, 5)])
def test_ticks_are_few_and_within(low, high):
    ticks = charts.ticks(low, high)
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-9 * abs(low) <= t <= high + 1e-6 * abs(high) for t in ticks)
