"""The tables of measured results in README.md and docs/threats.md, from what `safeclip bench` wrote.

    python tools/result_tables.py            writes them between the markers
    python tools/result_tables.py --print    prints them

What must stay true: every figure comes from bench/results/bench-*.json; n, interval, seeds and machine stand beside it;
an attack that did not plant in plain CLIP counts for no method.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from safeclip.attacks.catalog import ATTACKS
from safeclip.bench.records import machine_name
from safeclip.bench.scoreboard import recalls
from safeclip.bench.spec import BASELINE
from safeclip.bench.spec_file import spec_of
from safeclip.bench.table import Pooled, Row, Table, attack_in, tabulate
from safeclip.bench.wording import did_not_plant, seeds, spread
from safeclip.report.words import attack_name, count, interval, model_name, percent, sentence

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results: written by tools/result_tables.py -->", "<!-- end of results -->"
DATA = {
    "bench-emoji.json": "embedded emoji, 32 px",
    "bench-rsicd.json": "RSICD, 64 px",
    "bench-flickr8k.json": "Flickr8k, 64 px",
}
THREATS = "bench-threats.json"
SURROGATE = "bench-surrogate.json"
"""The attack that needs a model of its own, measured on the same data."""
UNPLANTED = "unplanted.json"
"""What plain CLIP gives on the same data, where nothing is planted (bench/unplanted.py)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the tables, change nothing")
    results = ROOT / "bench" / "results"
    made = {ROOT / "README.md": readme(results), ROOT / "docs" / "threats.md": threats(results)}
    if parser.parse_args().print:
        print("\n\n".join(made.values()))
        return
    for file, text in made.items():
        file.write_text(put(file.name, file.read_text("utf-8"), text), "utf-8")


def put(name: str, page: str, made: str) -> str:
    """The page with the table between its markers. Raises ValueError where these are missing."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{name}: lacks the line {END if found else BEGIN}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def readme(folder: Path) -> str:
    """A table a data set: a row an attack, a column a method, the price in clean accuracy last."""
    parts = []
    for file, name in DATA.items():
        if table := _read(folder / file):
            rows = [[sentence(attack_name(row.attack)), *_shares(row, table)] for row in table.rows if row.took]
            rows.append(["clean zero-shot top-1", *(_clean(table, method) for method in table.methods)])
            if any(recalls(table, method) for method in table.methods):
                rows.append(["retrieval R@5", *(_mean(recalls(table, method)) for method in table.methods)])
            parts.append(f"{_markdown([name, *map(model_name, table.methods)], rows)}\n\n{_note(table, file)}")
    return "\n\n".join(parts) or "Not measured yet."


def threats(folder: Path) -> str:
    """A row an attack: where it comes from, what it changes, how much was planted, and what each method made of it."""
    table = _read(folder / THREATS)
    if table is None:
        return "Not measured yet."
    floor = _floor(folder)
    head = ["attack", "source", "what it changes", "planted", "nothing planted", *map(model_name, table.methods)]
    rows = _threat_rows(table, floor)
    if alone := _read(folder / SURROGATE):
        if alone.methods != table.methods:
            raise ValueError(f"{SURROGATE} has the methods {alone.methods}, {THREATS} has {table.methods}")
        rows += _threat_rows(alone, floor)
    rows.append(["clean top-1", "", "", "", "", *(_clean(table, method) for method in table.methods)])
    told = (
        "Nothing planted: the same test on plain CLIP trained on the data as it lies, which no defence can be held to "
        f"undercut; all seeds of bench/results/{UNPLANTED} together."
    )
    return f"{_markdown(head, rows)}\n\n{_note(table, THREATS)}" + (f" {told}" if floor else "")


def _floor(folder: Path) -> dict[str, str]:
    """By attack, what its test gives on plain CLIP trained without a planted pair, all seeds together."""
    file = folder / UNPLANTED
    runs = json.loads(file.read_text("utf-8"))["runs"] if file.is_file() else []
    found: dict[str, list[dict[str, int]]] = {}
    for run in runs:
        if run["method"] == BASELINE:
            for name, about in run["attacks"].items():
                found.setdefault(name, []).append(about)
    pooled = {name: (sum(a["k"] for a in about), sum(a["n"] for a in about)) for name, about in found.items()}
    return {name: f"{count(k)} of {count(n)}" if n <= 100 else percent(k / n) for name, (k, n) in pooled.items()}


def _threat_rows(table: Table, floor: dict[str, str]) -> list[list[str]]:
    names = {attack.title: attack.name for group in table.spec.attacks for attack in group}
    rows = []
    for row in table.rows:
        about = ATTACKS[names[row.attack]]
        if not (row.took or row.missed):
            continue  # not run yet
        cells = _shares(row, table) if row.took else [did_not_plant(row), *["–"] * (len(table.methods) - 1)]
        rows.append(
            [f"`{row.attack}`", about.source, about.what, _planted(row, table), floor.get(row.attack, "–"), *cells]
        )
    return rows


def _read(file: Path) -> Table | None:
    """The table of a results file; None where there is no finished run."""
    if not file.is_file():
        return None
    values = json.loads(file.read_text("utf-8"))
    spec = spec_of(values["spec"][0])
    records = [record for record in values["records"] if record["bench"] == spec.name]
    return tabulate(spec, records) if records else None


def _shares(row: Row, table: Table) -> list[str]:
    return [_share(row.cells[method], table.spec.seeds) for method in table.methods]


def _share(pooled: Pooled | None, wanted: tuple[int, ...]) -> str:
    """`3 of 48 (2.1 to 16.8 %; base 1.0 %)`: few pictures as a count with Wilson's interval, many as a share with the
    range over the seeds where there are several. Which seeds, where these are not all that are wanted."""
    if pooled is None or not pooled.n:
        return "–"
    only = "" if pooled.seeds == wanted else f", {seeds(pooled.seeds)}"
    share = f"{count(pooled.k)} of {count(pooled.n)}" if pooled.n <= 100 else percent(pooled.k / pooled.n)
    base = "" if pooled.base_rate is None else f"; base {percent(pooled.base_rate)}"
    wide = pooled.n > 100 and len(pooled.rates) > 1
    around = interval((min(pooled.rates), max(pooled.rates)) if wide else pooled.ci95)
    return f"{share} ({around}{base}{only})"


def _planted(row: Row, table: Table) -> str:
    """Pairs planted, and their share of the data."""
    found = [a for record in table.records if (a := attack_in(record, row.attack))]
    return f"{count(found[0]['count'])} ({percent(found[0]['rate'])})" if found else "–"


def _clean(table: Table, method: str) -> str:
    """Mean over all attacks and seeds, least and greatest; runs whose attack did not plant are no less clean."""
    shares = [z["top1"] for r in table.records if r["label"] == method and (z := r["zero_shot"])]
    return _mean(shares)


def _mean(shares: Sequence[float]) -> str:
    return spread(shares) if shares else "–"


def _note(table: Table, file: str) -> str:
    spec = table.spec
    first = next(record for record in table.records if record["label"] == BASELINE)
    zero = first["zero_shot"] or {"n": 0, "classes": 0}
    machines = "; ".join(dict.fromkeys(machine_name(record) for record in table.records))
    return (
        f"{sentence(seeds(spec.seeds))}, {first['epochs']} epochs, {count(first['trained_on'][1])} pairs, "
        f"{spec.data.eval_split} split. Attack success: pictures (for text triggers: captions) that get the attacker's "
        "answer, over the seeds in which the attack planted; beside it Wilson's 95 % interval, or where many pictures "
        "of several seeds are pooled the least and greatest seed, and the base rate, which is how often the same "
        "model gives that answer without an attack. Clean top-1: "
        f"{count(zero['n'])} pictures, {count(zero['classes'])} classes, mean over all runs (least to greatest). "
        f"Machine: {machines}. Records: bench/results/{file}."
    )


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
