"""The tables of measured results in README.md and docs/ (results, method, threats), from what `safeclip bench` wrote.

    python tools/result_tables.py            writes them between the markers
    python tools/result_tables.py --print    prints them

What must stay true: every figure comes from bench/results; n, interval, seeds and machine stand beside it; an attack
that did not plant in plain CLIP counts for no method, and what each made of it stands in brackets all the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pages import markdown, put
from readme_table import readme
from result_records import (
    DEFENCE,
    control_of,
    never_attacked,
    read,
    runs_of,
    seeds_untouched,
    tops_untouched,
    uncounted,
)

from safeclip.attacks.catalog import ATTACKS
from safeclip.bench.records import machine_name
from safeclip.bench.scoreboard import recalls, scoreboard
from safeclip.bench.spec import BASELINE
from safeclip.bench.table import MANY, Pooled, Row, Table, attack_in
from safeclip.bench.wording import did_not_plant, places, seeds, spread
from safeclip.report.words import attack_name, count, interval, listed, model_name, percent, sentence

ROOT = Path(__file__).resolve().parents[1]
DATA = {
    "bench-emoji.json": "built-in emoji, 32 px",
    "bench-rsicd.json": "RSICD, 64 px",
    "bench-prove-rsicd.json": "RSICD, several attacks in a run",
    "bench-prove-flickr8k.json": "Flickr8k, 64 px",
}
NEAR = 0.01
"""Success above its control up to which an attack has left nothing to speak of: a point."""
PARTS = {"bench-parts.json": "built-in emoji, 32 px"}
THREATS = "bench-threats.json"
SURROGATE = "bench-surrogate.json"
"""The attack that needs a model of its own, measured on the same data."""
LEGEND = """\
Each cell says how often the model gives the attacker's answer, over test pictures (text triggers: captions), and in
brackets

- Wilson's 95 % interval; where many pictures of several seeds are pooled, the least and the greatest seed instead;
- *base*: how often the same model gives that answer without the trigger; for targeted poisoning, to other pictures of
  the targets' classes;
- *never attacked*: the same test on the same method, trained in the same seeds on the data as it lies
  (bench/unplanted.py). No defence can be held to undercut that;
- *place*, a seed, where measured: the rank of the attacker's class among all classes by how often pictures with the
  trigger are called each. An attack that worked puts it first; one that left nothing, anywhere.

Seeds in which the attack did not take 80 % of plain CLIP's pictures do not count."""
DRAWINGS = (
    "Held-out pictures are many placements of one drawing a class: the intervals speak of placements, and are narrower "
    "than those of other drawings would be."
)
"""Of the built-in pictures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the tables, change nothing")
    results = ROOT / "bench" / "results"
    made = {ROOT / page: make(results) for page, make in PAGES.items()}
    if parser.parse_args().print:
        print("\n\n".join(made.values()))
        return
    for file, text in made.items():
        file.write_text(put(file.name, file.read_text("utf-8"), "results", "result_tables.py", text), "utf-8")


def results(folder: Path) -> str:
    """A table a data set."""
    return _tables(folder, DATA)


def parts(folder: Path) -> str:
    """What each part of the method does by itself."""
    return _tables(folder, PARTS)


def _tables(folder: Path, files: dict[str, str]) -> str:
    """A table a results file: a row an attack, a column a method, the price in clean accuracy last."""
    parts: list[str] = []
    for file, name in files.items():
        if table := read(folder / file):
            methods = _known(table)
            unplanted = never_attacked(folder, table.spec.data.spec)
            rows = [
                [sentence(attack_name(row.attack)), *_shares(row, table, methods, unplanted)]
                for row in table.rows
                if row.took
            ]
            rows.append(["clean zero-shot top-1", *_clean(table, methods)])
            if any(recalls(table, method) for method in methods):
                rows.append(["retrieval R@5", *(_mean(recalls(table, method)) for method in methods)])
            if untouched := tops_untouched(unplanted):
                title = f"top-1 where nothing is planted{seeds_untouched(unplanted, table)}"
                rows.append([title, *(_mean(untouched.get(it, ())) for it in methods)])
            note = uncounted(table) + _note(table, file)
            parts.append(f"{markdown([name, *map(model_name, methods)], rows)}\n\n{note}")
    return "\n\n".join([LEGEND, *parts]) if parts else "Not measured yet."


def threats(folder: Path) -> str:
    """A row an attack: where it comes from, what it changes, how much was planted, and what each method made of it."""
    table = read(folder / THREATS)
    if table is None:
        return "Not measured yet."
    methods, unplanted = _known(table), never_attacked(folder, table.spec.data.spec)
    head = ["attack", "source", "what it changes", "planted", *map(model_name, methods)]
    tables = [table, *([alone] if (alone := read(folder / SURROGATE)) else [])]
    rows = [row for some in tables for row in _threat_rows(some, methods, unplanted)]
    rows.append(["clean top-1", "", "", "", *_clean(table, methods)])
    told = "A cell all in brackets: what a method made of an attack that did not plant, which says little of a defence."
    left = _left(tables, unplanted)
    return f"{left}\n\n{markdown(head, rows)}\n\n{LEGEND} {told}\n\n{_note(table, THREATS)}"


def _known(table: Table) -> list[str]:
    """Methods with a finished run, in the table's order."""
    return [method for method in table.methods if any(record["label"] == method for record in table.records)]


def _floor(attack: str, method: str, of: Sequence[int], unplanted: Sequence[dict[str, Any]]) -> str:
    """`; never attacked 1.0 %`; empty where that was not measured."""
    found = control_of(attack, method, of, unplanted)
    return "" if found is None else f"; never attacked {_rate(*found)}"


def _rate(k: int, n: int) -> str:
    return f"{count(k)} of {count(n)}" if n <= MANY else percent(k / n)


def _left(tables: Sequence[Table], unplanted: Sequence[dict[str, Any]]) -> str:
    """The attacks of which SafeCLIP leaves more than its control."""
    found = []
    for row in (row for table in tables for row in table.rows if row.took):
        own = row.cells.get(DEFENCE)
        if own is None or not own.n:
            continue
        control = control_of(row.attack, DEFENCE, own.seeds, unplanted)
        above = own.k / own.n - (control[0] / control[1] if control else own.base_rate or 0.0)
        if above > (1 / own.n if own.n <= MANY else NEAR) + 1e-9:
            beside = f"control {_rate(*control)}" if control else f"base rate {percent(own.base_rate)}"
            found.append((above, f"`{row.attack}` ({_rate(own.k, own.n)}; {beside})"))
    names = listed([name for _, name in sorted(found, reverse=True)])
    return (
        "The control of a method is the same test on it, trained on the data as it lies; where that was not measured, "
        f"its base rate. SafeCLIP leaves more than its control, by over a point or over one target, of {names}. Of "
        "every other attack that plants it leaves about that, or less."
        if names
        else "Of every attack that plants SafeCLIP leaves what its control has, or less."
    )


def _threat_rows(table: Table, methods: Sequence[str], unplanted: Sequence[dict[str, Any]]) -> list[list[str]]:
    names = {attack.title: attack.name for group in table.spec.attacks for attack in group}
    rows = []
    for row in table.rows:
        about = ATTACKS[names[row.attack]]
        if not (row.took or row.missed):
            continue  # not run yet
        cells = _shares(row, table, methods, unplanted)
        if not row.took:
            cells = [did_not_plant(row), *(_beside(row, table, method) for method in methods if method != BASELINE)]
        rows.append([f"`{row.attack}`", about.source, about.what, _planted(row, table), *cells])
    return rows


def _beside(row: Row, table: Table, method: str) -> str:
    """What a method made of an attack that did not plant."""
    of = {seed for seed, _, _ in row.missed}
    runs = [record for record in runs_of(table, row.group, method) if record["seed"] in of]
    found = [about for record in runs if (about := attack_in(record, row.attack))]
    k, n = sum(about["k"] for about in found), sum(about["n"] for about in found)
    return f"({count(k)} of {count(n)})" if n else "–"


def _shares(row: Row, table: Table, methods: Sequence[str], unplanted: Sequence[dict[str, Any]]) -> list[str]:
    cells = []
    for method in methods:
        pooled = row.cells.get(method)
        floor = "" if pooled is None else _floor(row.attack, method, pooled.seeds, unplanted)
        cells.append(_share(pooled, floor, table.spec.seeds))
    return cells


def _share(pooled: Pooled | None, floor: str, wanted: tuple[int, ...]) -> str:
    """`3 of 48 (2.1 to 16.8 %; base 1.0 %)`: few pictures as a count with Wilson's interval, many as a share of so many
    with the range over the seeds where there are several. Which seeds, where these are not all that are wanted."""
    if pooled is None or not pooled.n:
        return "–"
    only = "" if pooled.seeds == wanted else f", {seeds(pooled.seeds)}"
    share = _rate(pooled.k, pooled.n) + (f" of {count(pooled.n)}" if pooled.n > MANY else "")
    base = "" if pooled.base_rate is None else f"; base {percent(pooled.base_rate)}"
    place = f"; place {places(pooled.places)}" if pooled.places else ""
    return f"{share} ({interval(pooled.around)}{base}{floor}{place}{only})"


def _planted(row: Row, table: Table) -> str:
    """Pairs planted, and their share of the data."""
    found = [a for record in table.records if (a := attack_in(record, row.attack))]
    return f"{count(found[0]['count'])} ({percent(found[0]['rate'])})" if found else "–"


def _clean(table: Table, methods: Sequence[str]) -> list[str]:
    """Mean over all runs, least and greatest, and the mean difference from plain CLIP in the runs that both have; runs
    whose attack did not plant are no less clean."""
    scores = {score.method: score for score in scoreboard(table)}
    cells = []
    for score in (scores[method] for method in methods):
        cost = "" if score.cost is None else f"; {100 * score.cost:+.1f} points".replace("-", "−")
        cells.append(_mean(score.top1).removesuffix(")") + (cost + ")" if len(score.top1) > 1 else cost))
    return cells


def _mean(shares: Sequence[float]) -> str:
    return spread(shares) if shares else "–"


def _note(table: Table, file: str) -> str:
    spec = table.spec
    first = next((record for record in table.records if record["label"] == BASELINE), table.records[0])
    ran = tuple(sorted({record["seed"] for record in table.records}))
    zero = [found for record in table.records if (found := record["zero_shot"])]
    machines = "; ".join(dict.fromkeys(machine_name(record) for record in table.records))
    own = _revisions(record for record in table.records if record["method"] == DEFENCE)
    others = _revisions(record for record in table.records if record["method"] != DEFENCE)
    by = f"SafeCLIP by {own}, the others by {others}. " if own and others else ""
    return (
        f"{sentence(seeds(ran))}, {first['epochs']} epochs, {count(first['trained_on'][1])} pairs, "
        f"{spec.data.eval_split} split. Clean top-1: {_range(zero, 'n')} pictures, {_range(zero, 'classes')} classes, "
        "mean over all runs, least and greatest, and the mean difference to plain CLIP in the runs that it has too. "
        f"{DRAWINGS + ' ' if spec.data.spec.startswith('emoji:') else ''}Machine: {machines}. {by}"
        f"Records: bench/results/{file}."
    )


def _revisions(records: Iterable[dict[str, Any]]) -> str:
    """`revision 901839b`, or `revisions 901839b and 6743c7a`; empty where none is known."""
    made = dict.fromkeys(found for record in records if (found := record["machine"].get("git", "")[:7]))
    return f"{'revision' if len(made) == 1 else 'revisions'} {listed(list(made))}" if made else ""


def _range(found: Sequence[dict[str, Any]], name: str) -> str:
    """A count over all runs: least and greatest, where they are not the same. An attack takes its target pictures out
    of those that are evaluated on."""
    values = {about[name] for about in found} or {0}
    return " to ".join(count(value) for value in sorted({min(values), max(values)}))


PAGES: dict[str, Callable[[Path], str]] = {
    "README.md": readme,
    "docs/results.md": results,
    "docs/method.md": parts,
    "docs/threats.md": threats,
}


if __name__ == "__main__":
    main()
