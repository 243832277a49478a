"""The README's one table: plain CLIP and SafeCLIP on every data set, an attack a row (written by result_tables.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from pages import markdown
from result_records import DEFENCE, never_attacked, read, seeds_untouched, tops_untouched, uncounted

from safeclip.bench.scoreboard import recalls, scoreboard
from safeclip.bench.spec import BASELINE
from safeclip.bench.table import MANY, Table
from safeclip.bench.wording import seeds
from safeclip.report.words import attack_name, count, interval, percent, sentence

SHORT = {
    "bench-emoji.json": "built-in emoji, 32 px",
    "bench-prove-rsicd.json": "RSICD, 64 px",
    "bench-prove-flickr8k.json": "Flickr8k, 64 px",
}
"""The README's columns."""


def readme(folder: Path) -> str:
    """Plain CLIP and SafeCLIP in one table: a row an attack, a column a data set."""
    tables = {name: table for file, name in SHORT.items() if (table := read(folder / file))}
    if not tables:
        return "Not measured yet."
    attacks = dict.fromkeys(row.attack for table in tables.values() for row in table.rows if row.took)
    rows = [[sentence(attack_name(it)), *(_against(it, table) for table in tables.values())] for it in attacks]
    rows.append(
        [
            "clean zero-shot top-1",
            *(_both({score.method: score.top1 for score in scoreboard(table)}) for table in tables.values()),
        ]
    )
    rows.append(
        [
            "retrieval R@5",
            *(_both({method: recalls(table, method) for method in table.methods}) for table in tables.values()),
        ]
    )
    untouched = [never_attacked(folder, table.spec.data.spec) for table in tables.values()]
    cells = zip(untouched, tables.values(), strict=True)
    cells = [
        both + seeds_untouched(some, table) if (both := _both(tops_untouched(some))) != "–" else both
        for some, table in cells
    ]
    rows.append(["top-1 where nothing is planted", *cells])
    said = "; ".join(f"{name.partition(',')[0]}: {_shape(table)}" for name, table in tables.items())
    missed = "".join(
        f"{name.partition(',')[0]}: {some}" for name, table in tables.items() if (some := uncounted(table))
    )
    return f"{markdown(['', *tables], rows)}\n\n{sentence(said)}.\n\n{missed}".rstrip()


def _against(attack: str, table: Table) -> str:
    """`93.8 % → **0.5 %** of 2,940 (0.3 to 0.8 %)`: plain CLIP's success and SafeCLIP's, with SafeCLIP's interval."""
    row = next((row for row in table.rows if row.attack == attack and row.took), None)
    plain, own = (None, None) if row is None else (row.cells.get(BASELINE), row.cells.get(DEFENCE))
    if plain is None or own is None or not own.n:
        return "–"
    only = "" if own.seeds == table.spec.seeds else f"; {seeds(own.seeds)}"
    if own.n <= MANY:
        hits = f"{count(plain.k)} of {count(plain.n)} → **{count(own.k)} of {count(own.n)}**"
    else:
        hits = f"{percent(plain.k / plain.n)} → **{percent(own.k / own.n)}** of {count(own.n)}"
    return f"{hits} ({interval(own.around)}{only})"


def _both(shares: Mapping[str, Sequence[float]]) -> str:
    """Means over the runs of plain CLIP and of SafeCLIP. shares: of each run, by method."""
    plain, own = shares.get(BASELINE), shares.get(DEFENCE)
    return f"{percent(fmean(plain))} → {percent(fmean(own))}" if plain and own else "–"


def _shape(table: Table) -> str:
    about = next(record for record in table.records if record["label"] == BASELINE)
    ran = tuple(sorted({record["seed"] for record in table.records}))
    return f"{count(about['trained_on'][1])} pairs, {about['epochs']} epochs, {seeds(ran)}"
