"""What the records behind the tables say: a bench's table, a method's runs, and what models that were never attacked
give.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safeclip.bench.spec_file import spec_of
from safeclip.bench.table import Table, attack_in, tabulate
from safeclip.bench.wording import seeds
from safeclip.report.words import attack_name, count, listed, sentence

DEFENCE = "safeclip"
UNPLANTED = "unplanted*.json"
"""What models trained on the same data give where nothing is planted (bench/unplanted.py)."""


def read(file: Path) -> Table | None:
    """The table of a results file; None where there is no finished run."""
    if not file.is_file():
        return None
    values = json.loads(file.read_text("utf-8"))
    spec = spec_of(values["spec"][0])
    records = [record for record in values["records"] if record["bench"] == spec.name]
    return tabulate(spec, records) if records else None


def runs_of(table: Table, group: str, method: str) -> list[dict[str, Any]]:
    return [record for record in table.records if (record["group"], record["label"]) == (group, method)]


def never_attacked(folder: Path, data: str) -> list[dict[str, Any]]:
    """Runs on this data without a planted pair: method, seed, top1, and k of n of each attack's test."""
    files = [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob(UNPLANTED))]
    return [run for values in files if values["data"] == data for run in values["runs"]]


def tops_untouched(unplanted: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """By method, clean top-1 of each run without a planted pair."""
    found: dict[str, list[float]] = {}
    for run in unplanted:
        found.setdefault(run["method"], []).append(run["top1"])
    return found


def seeds_untouched(unplanted: Sequence[dict[str, Any]], table: Table) -> str:
    """`, seeds 0 and 1`: those without a planted pair, where they are not the table's."""
    ran = tuple(sorted({run["seed"] for run in unplanted}))
    return "" if not ran or ran == tuple(sorted({r["seed"] for r in table.records})) else f"; {seeds(ran)}"


def control_of(
    attack: str, method: str, of: Sequence[int], unplanted: Sequence[dict[str, Any]]
) -> tuple[int, int] | None:
    """k of n that the attack's test gives on the method trained without a planted pair, in these seeds; None where one
    was not measured."""
    runs = {run["seed"]: run["attacks"].get(attack) for run in unplanted if run["method"] == method}
    found = [about for seed in of if (about := runs.get(seed))]
    if not found or len(found) < len(of):
        return None
    return sum(about["k"] for about in found), sum(about["n"] for about in found)


def uncounted(table: Table) -> str:
    """What plain CLIP and SafeCLIP made of an attack in the seeds in which it did not plant, a sentence each."""
    said = []
    for row in (row for row in table.rows if row.missed):
        own = {record["seed"]: attack_in(record, row.attack) for record in runs_of(table, row.group, DEFENCE)}
        hits = [
            f"{count(k)} of {count(n)}{f' → {_hits(found)}' if (found := own.get(seed)) else ''} in seed {seed}"
            for seed, k, n in row.missed
        ]
        said.append(f"{sentence(attack_name(row.attack))} did not plant, and does not count, with {listed(hits)}. ")
    return "".join(said)


def _hits(attack: dict[str, Any]) -> str:
    return f"{count(attack['k'])} of {count(attack['n'])}"
