"""The table in words, for the Markdown, the page and the terminal alike.

What must stay true: every share stands beside its count and interval, a mean over seeds beside its range, and a cell
that pools other seeds than its row says which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from safeclip.bench.records import machine_name
from safeclip.bench.spec import BASELINE, NO_ATTACK
from safeclip.bench.table import Pooled, Row, Table
from safeclip.data.sources import without_folders
from safeclip.report.words import LONG, attack_name, count, interval, listed, model_name, percent, plain, sentence

_NBSP = "\u00a0"


def row_title(row: Row) -> str:
    """`BadNets patch`, and with what it was planted together."""
    if row.attack == NO_ATTACK:
        return "No attack"
    others = [attack_name(name) for name in row.group.split(" + ") if name != row.attack]
    beside = f" (in one run with {listed(others)})" if others else ""
    return attack_name(row.attack) + beside


def did_not_plant(row: Row) -> str:
    """What is wrong with a row's seeds; "" where plain CLIP took the attack in every one."""
    parts = []
    if row.missed:
        hits = [f"{count(k)} of {count(n)} in seed {seed}" for seed, k, n in row.missed]
        parts.append(f"did not plant (ASR {listed(hits)})")
    if row.unmeasured:
        parts.append(f"not measured: {row.unmeasured}")
    if row.waiting:
        parts.append(f"no plain CLIP yet in {seeds(row.waiting)}")
    return "; ".join(parts)


def cell_lines(pooled: Pooled | None, row: Row) -> list[str]:
    """The success first, then what it cost; a dash where nothing counts."""
    if pooled is None:
        return ["–"]
    lines = []
    if pooled.n:
        lines.append(f"{count(pooled.k)} of {count(pooled.n)} = {percent(pooled.k / pooled.n)}")
        lines.append(f"95{_NBSP}%: {interval(pooled.ci95)}")
        if len(pooled.rates) > 1:
            lines.append(f"a seed: {interval((min(pooled.rates), max(pooled.rates)))}")
        if pooled.base_rate is not None:
            lines.append(f"base rate {percent(pooled.base_rate)}")
        if pooled.places:
            lines.append(f"control: place {places(pooled.places)}")
    if pooled.top1:
        lines.append(f"clean top-1 {spread(pooled.top1)}")
    if pooled.in_safe is not None:
        lines.append(f"planted in the safe set: {count(pooled.in_safe)} of {count(pooled.planted)}")
    if pooled.times:
        lines.append(f"{sum(pooled.times) / len(pooled.times):.1f} x plain CLIP's time")
    if pooled.seeds != row.took:
        lines.append(f"{seeds(pooled.seeds)} only")
    return lines


def places(found: Sequence[tuple[int, int]]) -> str:
    """`4, 16, 9 of 50`: where the attacker's class stands among all, a seed."""
    return f"{', '.join(count(place) for place, _ in found)} of {count(max(classes for _, classes in found))}"


def spread(shares: Sequence[float]) -> str:
    """`66.1 % (65.0 to 67.2 %)`: the mean, and least and greatest where there are several."""
    around = f" ({interval((min(shares), max(shares)))})" if len(shares) > 1 else ""
    return percent(sum(shares) / len(shares)) + around


def seeds(numbers: Sequence[int]) -> str:
    """`seed 0`, `seeds 0, 1 and 2`."""
    return ("seed " if len(numbers) == 1 else "seeds ") + listed([str(number) for number in numbers])


def notes(table: Table) -> list[str]:
    """Under the table: what was measured, how it is pooled, what is missing."""
    spec, out = table.spec, []
    data = plain(without_folders(spec.data.spec), 80)
    first = next((record for record in table.records if record["label"] == BASELINE), None)
    size = ""
    if first is not None:
        zero = first["zero_shot"] or {}
        size = f", {count(first['trained_on'][1])} pairs; clean top-1 over {count(zero.get('n'))} of its held-out ones"
        size += f", {count(zero.get('classes'))} classes"
    out.append(f"Data: {data}{size}. Training preset: {plain(spec.preset, 40)}. {sentence(seeds(spec.seeds))}.")
    out.append(
        "Attack success: pictures (for a text trigger, captions) that get the attacker's answer, of all those of all "
        "seeds in which the attack planted, where plain CLIP gave it for at least "
        f"{percent(spec.plant_at_least)} of them. Intervals are Wilson's, at 95 %: they speak of pictures, not of "
        "seeds. Each seed is tested on the same pictures: of many in several seeds, the range over seeds says more."
    )
    machines = list(dict.fromkeys(plain(machine_name(record), 120) for record in table.records))
    if machines:
        out.append(f"Machine: {'; '.join(machines)}.")
    out += [f"Failed: {plain(title, 80)}: {plain(reason, 300)}" for title, reason in table.failed]
    if table.left:
        out.append(f"Not finished: {table.left} of {table.left + len(table.records)} runs are left.")
    return out


def markdown(table: Table) -> str:
    """The table, a row an attack and a column a method, and its notes."""
    head = ["attack", *(model_name(method) for method in table.methods)]
    lines = [_row(map(_md, head)), _row(["---"] * len(head))]
    for row in table.rows:
        title, wrong = _md(sentence(row_title(row))), _md(did_not_plant(row))
        title = title if row.took else f"~~{title}~~"
        cells = ["<br>".join(_md(line) for line in cell_lines(row.cells[m], row)) for m in table.methods]
        lines.append(_row([f"{title}<br>{wrong}" if wrong else title, *cells]))
    return "\n".join([*lines, "", "\n\n".join(_md(note) for note in notes(table))])


def _row(cells: Sequence[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md(text: str) -> str:
    """Text that Markdown takes for nothing else."""
    escaped = plain(text, LONG).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", escaped)
