"""docs/frontier.md and docs/frontier.svg: what each method and each setting of ours keeps of plain CLIP's accuracy, and
what the worst attack still gets, from what `safeclip bench` wrote.

    python tools/frontier.py       writes the table between the markers, and the chart

What must stay true: every figure comes from bench/results; a setting is compared with plain CLIP in the very runs that
both have, same data, attack and seed; an attack that did not plant in plain CLIP counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pages import markdown, put
from result_records import DEFENCE, never_attacked, read, tops_untouched

from safeclip.bench.spec import BASELINE
from safeclip.bench.table import attack_in, planted_in
from safeclip.bench.wording import seeds
from safeclip.report.words import attack_name, count, model_name, percent, sentence

ROOT = Path(__file__).resolve().parents[1]
SETS = {
    "built-in emoji, 32 px": ("bench-emoji.json", "bench-parts.json", "bench-variants.json"),
    "RSICD, 64 px": ("bench-rsicd.json",),
    "RSICD, several attacks in a run": ("bench-prove-rsicd.json",),
    "Flickr8k, 64 px": ("bench-prove-flickr8k.json",),
}
GOAL = 0.98
"""Of plain CLIP's accuracy."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A setting on one data set. seeds, attacks: those in which it was run and that planted. kept, recalled: clean
    top-1 and mean R@5 as a share of plain CLIP's in the same runs. worst: the attack that succeeds most, k of n."""

    setting: str
    seeds: tuple[int, ...]
    attacks: tuple[str, ...]
    kept: float
    recalled: float
    worst: str
    k: int
    n: int


def main() -> None:
    results = ROOT / "bench" / "results"
    found = {name: points(results, files) for name, files in SETS.items()}
    page = ROOT / "docs" / "frontier.md"
    page.write_text(
        put(page.name, page.read_text("utf-8"), "frontier", "frontier.py", written(results, found)), "utf-8"
    )
    (ROOT / "docs" / "frontier.svg").write_text(chart(found), "utf-8")


def points(folder: Path, files: Sequence[str]) -> list[Point]:
    """Plain CLIP's rivals in the order of the files, each setting once; of a run in several, the first file's."""
    runs: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    tables = [table for name in files if (table := read(folder / name)) is not None]
    for record in (record for table in tables for record in table.records):
        runs.setdefault(record["label"], {}).setdefault((record["group"], record["seed"]), record)
    plain = runs.pop(BASELINE, {})
    least = max((table.spec.plant_at_least for table in tables), default=0.0)
    return [point for label, own in runs.items() if (point := _point(label, own, plain, least)) is not None]


def _point(
    label: str, own: dict[tuple[str, int], dict[str, Any]], plain: dict[tuple[str, int], dict[str, Any]], least: float
) -> Point | None:
    pairs = [(own[place], plain[place]) for place in sorted(own) if place in plain]
    pairs = [pair for pair in pairs if all(record[part] for record in pair for part in ("zero_shot", "retrieval"))]
    names = dict.fromkeys(attack["label"] for _, other in pairs for attack in other["attacks"])
    hits = {
        name: (sum(about["k"] for about in found), sum(about["n"] for about in found))
        for name in names
        if (
            found := [
                about
                for mine, other in pairs
                if planted_in(other, name, least) and (about := attack_in(mine, name)) is not None
            ]
        )
    }
    if not hits:
        return None
    worst = max(hits, key=lambda name: hits[name][0] / hits[name][1])
    top1, recall = lambda r: r["zero_shot"]["top1"], lambda r: r["retrieval"]["mean_r5"]
    return Point(
        setting=label,
        seeds=tuple(sorted({mine["seed"] for mine, _ in pairs})),
        attacks=tuple(hits),
        kept=sum(top1(mine) for mine, _ in pairs) / sum(top1(other) for _, other in pairs),
        recalled=sum(recall(mine) for mine, _ in pairs) / sum(recall(other) for _, other in pairs),
        worst=worst,
        k=hits[worst][0],
        n=hits[worst][1],
    )


def written(folder: Path, found: dict[str, list[Point]]) -> str:
    """A table a data set, and what SafeCLIP keeps where nothing is planted."""
    parts, untouched = [], ""
    for name, own in found.items():
        if not own:
            continue
        head = [name, "seeds", "attacks", "top-1 kept", "R@5 kept", "the worst attack"]
        rows = [
            [
                sentence(model_name(p.setting)),
                seeds(p.seeds).removeprefix("seeds ").removeprefix("seed "),
                count(len(p.attacks)),
                percent(p.kept),
                percent(p.recalled),
                f"{attack_name(p.worst)}: {count(p.k)} of {count(p.n)} ({percent(p.k / p.n)})",
            ]
            for p in sorted(own, key=lambda p: p.k / p.n)
        ]
        before, untouched = untouched, _untouched(folder, SETS[name])
        parts.append("\n\n".join([markdown(head, rows), *([untouched] if untouched not in ("", before) else [])]))
    return "\n\n".join(parts) if parts else "Not measured yet."


def _untouched(folder: Path, files: Sequence[str]) -> str:
    """What is kept on this data where nothing is planted; "" where that was not measured."""
    data = {table.spec.data.spec for name in files if (table := read(folder / name)) is not None}
    runs = [run for spec in sorted(data) for run in never_attacked(folder, spec)]
    of = {method: {run["seed"] for run in runs if run["method"] == method} for method in (DEFENCE, BASELINE)}
    shared = sorted(of[DEFENCE] & of[BASELINE])
    if not shared:
        return ""
    tops = tops_untouched([run for run in runs if run["seed"] in shared])
    mine, plain = (sum(tops[method]) / len(shared) for method in (DEFENCE, BASELINE))
    return (
        f"Where nothing is planted ({seeds(tuple(shared))}), SafeCLIP has {percent(mine)} top-1 and plain CLIP "
        f"{percent(plain)}: {percent(mine / plain)} kept (bench/unplanted.py)."
    )


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 450, 64, 26, 44, 56
KINDS = dict(zip(SETS, ("emoji", "rsicd", "together", "flickr"), strict=True))
DECADES = 3
RAREST = 10**-DECADES
"""Success below which all is drawn at the left edge of the chart, whose axis is logarithmic."""
NOTHING = 0.05
"""About the most that any attack's test gives where nothing was planted."""
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1d20}.quiet{fill:#5d636b}.grid{stroke:#dcdedd}.goal{fill:#d4e8e8}"
    ".emoji{fill:#0b6b74}.rsicd{fill:#b3231f}.together{fill:#c98a1b}.flickr{fill:#6a5a46}circle{stroke:#fff}"
)


def chart(found: dict[str, list[Point]]) -> str:
    """Accuracy kept, upwards, against what the worst attack gets, to the right, as a picture of its own."""
    every = [point for own in found.values() for point in own]
    high = max([1.05, *(p.kept + 0.03 for p in every)])
    x = lambda share: LEFT + (1 + math.log10(max(share, RAREST)) / DECADES) * (WIDTH - LEFT - RIGHT)  # noqa: E731
    y = lambda share: TOP + (1 - share / high) * (HEIGHT - TOP - BOTTOM)  # noqa: E731
    out = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fdfdfb"/>']
    out.append(
        f'<rect class="goal" x="{x(0)}" y="{TOP}" width="{x(NOTHING) - x(0):.1f}" height="{y(GOAL) - TOP:.1f}"/>'
    )
    for tick in (0, 0.25, 0.5, 0.75, 1):
        out.append(f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        out.append(f'<text class="quiet" x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.0%}</text>')
    for tick in (RAREST, 0.01, 0.1, 1):
        at = f'x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 20}"'
        out.append(f'<text class="quiet" {at} text-anchor="middle">{100 * tick:g} %</text>')
    out.append(f'<text class="quiet" x="{LEFT}" y="{TOP - 22}">clean top-1, of plain CLIP\'s in the same runs</text>')
    axis = f'x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 14}" text-anchor="middle"'
    out.append(f'<text class="quiet" {axis}>what the worst attack that planted still gets</text>')
    taken = [(x(p.k / p.n) - 5, y(p.kept), 10.0) for p in every]
    for name, own in found.items():
        for p in sorted(own, key=lambda p: -p.kept):
            cx, cy, label = x(p.k / p.n), y(p.kept), escape(model_name(p.setting))
            wide = 7.2 * len(label)
            left = cx + 9 + wide > WIDTH - RIGHT
            start = cx - 9 - wide if left else cx + 9
            at = cy
            for shift in (0, -15, 15, -30, 30, 45, 60):
                at = cy + shift
                if not any(abs(at - b) < 14 and start < a + w and a < start + wide for a, b, w in taken):
                    break
            taken.append((start, at, wide))
            anchor = "end" if left else "start"
            out.append(f'<circle class="{KINDS[name]}" cx="{cx:.1f}" cy="{cy:.1f}" r="5"/>')
            where = f'x="{cx + (-9 if left else 9):.1f}" y="{at + 4:.1f}" text-anchor="{anchor}"'
            out.append(f'<text class="{KINDS[name]}" {where}>{label}</text>')
    for i, name in enumerate(name for name, own in found.items() if own):
        at = HEIGHT - BOTTOM - 16 - 20 * i
        out.append(f'<circle class="{KINDS[name]}" cx="{LEFT + 20}" cy="{at}" r="5"/>')
        out.append(f'<text x="{LEFT + 32}" y="{at + 4}">{escape(name)}</text>')
    title = "Accuracy kept against what the worst attack still gets, of each method and setting"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title><style>{STYLE}</style>{''.join(out)}</svg>\n"
    )


if __name__ == "__main__":
    main()
