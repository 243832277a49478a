"""The table of measured results in README.md, from what the scripts in bench/ wrote.

    python tools/readme_table.py            writes it between the two markers in README.md
    python tools/readme_table.py --print    prints it

What must stay true: every figure comes from bench/results/*.json, and the table says n, seeds and machine. Only runs of
a preset as it is count (label `preset`, no changed settings); of two runs of one method and seed, the later. A data
set's methods are compared on the seeds that all of them were run with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from safeclip.evaluate.wilson import wilson

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results: written by tools/readme_table.py -->", "<!-- end of results -->"
SETS = {"emoji-test.json": "embedded emoji, 32 px", "rsicd.json": "RSICD"}
METHODS = {"clip": "plain CLIP", "safeclip": "SafeCLIP"}
HEAD = """\
| data | method | clean zero-shot top-1 | targeted attack success | patch attack success |
|---|---|---|---|---|"""
Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the table, change nothing")
    made = table(ROOT / "bench" / "results")
    if parser.parse_args().print:
        print(made)
        return
    readme = ROOT / "README.md"
    readme.write_text(put(readme.read_text("utf-8"), made), "utf-8")


def put(readme: str, made: str) -> str:
    """The README's text with the table between its markers. Raises ValueError where these are missing."""
    before, found, rest = readme.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"README.md: lacks the line {END if found else BEGIN}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def table(folder: Path) -> str:
    """Markdown: a row a data set and method, then how it was measured."""
    rows, notes = [], []
    for file, name in SETS.items():
        by_method = _compared(folder / file)
        for method, records in by_method.items():
            rows.append(_row(name if method == next(iter(by_method)) else "", method, records))
        if by_method:
            notes.append(_note(file, name, by_method))
    return "\n".join([HEAD, *rows, "", "\n\n".join(notes)]) if rows else "Not measured yet."


def _compared(file: Path) -> dict[str, list[Record]]:
    """Method -> a record a seed, of the seeds that every method has; {} where there are none."""
    records = json.loads(file.read_text("utf-8")) if file.is_file() else []
    last: dict[str, dict[int, Record]] = {}
    for record in records:
        if record["label"] == "preset" and not record["settings"] and record["method"] in METHODS:
            last.setdefault(record["method"], {})[record["seed"]] = record
    seeds = set.intersection(*(set(runs) for runs in last.values())) if last else set()
    return {m: [last[m][seed] for seed in sorted(seeds)] for m in METHODS if m in last and seeds}


def _row(name: str, method: str, records: list[Record]) -> str:
    top1 = [r["zero_shot"]["top1"] for r in records if r["zero_shot"]]
    cells = [name, METHODS[method], _spread(top1), _counted(records, "targeted"), _counted(records, "backdoor")]
    return " | ".join(["", *cells, ""]).strip()


def _counted(records: list[Record], kind: str) -> str:
    """Success of the attacks of one kind over all seeds: few pictures as a count, many as a share."""
    attacks = _attacks(records, kind)
    if not attacks:
        return "–"
    if kind == "backdoor":
        return _spread([a["asr"] for a in attacks])
    k, n = sum(a["k"] for a in attacks), sum(a["n"] for a in attacks)
    low, high = wilson(k, n)
    return f"{k} of {n} ({100 * low:.1f} to {100 * high:.1f} %)"


def _note(file: str, name: str, by_method: dict[str, list[Record]]) -> str:
    runs = [record for records in by_method.values() for record in records]
    first, seeds = runs[0], sorted({record["seed"] for record in runs})
    parts = [
        f"{name[:1].upper()}{name[1:]}: {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'} "
        f"({', '.join(map(str, seeds))}), {first['epochs']} epochs."
    ]
    if zero := first["zero_shot"]:
        parts.append(
            f"Clean top-1: {zero['n']:,} pictures, {zero['classes']} classes, mean over seeds (least to greatest)."
        )
    for kind in ("targeted", "backdoor"):
        if not (attacks := _attacks(runs, kind)):
            continue
        how = "all seeds together, 95 % interval" if kind == "targeted" else "mean over seeds (least to greatest)"
        base = (
            "of other pictures of the same classes" if kind == "targeted" else "of the same pictures without the patch"
        )
        rates = [_mean([a["base_rate"] or 0.0 for a in _attacks(records, kind)]) for records in by_method.values()]
        parts.append(
            f"{'Targeted' if kind == 'targeted' else 'Patch'}: {attacks[0]['planted']} pairs planted, share of "
            f"{attacks[0]['n']:,} pictures a seed that get the attacker's answer, {how}; base rate, {base}, "
            f"{' and '.join(f'{100 * rate:.1f} %' for rate in rates)}."
        )
    machines = dict.fromkeys(_machine(record["machine"]) for record in runs)
    return " ".join([*parts, f"Machine: {'; '.join(machines)}.", f"Records: [{file}](bench/results/{file})."])


def _attacks(records: list[Record], kind: str) -> list[Record]:
    return [a for record in records for a in record["attack"] if a["kind"] == kind]


def _machine(about: Record) -> str:
    return f"{about.get('gpu') or about['cpu']}, {about['cores']} cores, torch {about['versions']['torch']}"


def _spread(shares: list[float]) -> str:
    if not shares:
        return "–"
    spread = f" ({100 * min(shares):.1f} to {100 * max(shares):.1f})" if len(shares) > 1 else ""
    return f"{100 * _mean(shares):.1f} %{spread}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


if __name__ == "__main__":
    main()
