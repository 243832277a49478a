"""DIR/report.html of a bench: one file that opens offline, made from the table and the records behind it.

What must stay true: everything is escaped, as in report/page.py, whose environment this uses; nothing is fetched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safeclip.bench import figures
from safeclip.bench.measure import Record
from safeclip.bench.spec_file import without_folders
from safeclip.bench.table import Table, attack_in
from safeclip.bench.wording import cell_lines, did_not_plant, notes, row_title, seeds
from safeclip.report.page import environment
from safeclip.report.words import count, listed, model_name, plain, sentence, small_percent
from safeclip.run import write_text


def write_page(file: Path, table: Table) -> None:
    write_text(file, render(table))


def render(table: Table) -> str:
    """The page's HTML."""
    context = {
        "name": table.spec.name,
        "headline": _headline(table),
        "warnings": _warnings(table),
        "methods": [model_name(method) for method in table.methods],
        "rows": [_row(table, i) for i in range(len(table.rows))],
        "notes": notes(table),
        "success": figures.success(table),
        "trade": figures.trade(table),
        "inside": figures.inside(table),
        "attacks": _attacks(table),
        "settings": _settings(table),
        "machines": _machines(table),
        "seeds": len(table.spec.seeds),
    }
    return environment("safeclip.bench").get_template("template.html").render(context)


def _headline(table: Table) -> str:
    attacks = sum(row.attack != "none" for row in table.rows)
    parts = [_number(attacks, "attack"), _number(len(table.methods), "method"), _number(len(table.spec.seeds), "seed")]
    return sentence(f"{listed(parts)} on {plain(without_folders(table.spec.data.spec), 60)}")


def _warnings(table: Table) -> list[str]:
    """What a reader must know before believing the table."""
    out = [
        f"{sentence(row_title(row))} {wrong}. A defence against an attack that fails anyway shows nothing: "
        + ("this row counts for nothing." if not row.took else f"the row pools {seeds(row.took)} alone.")
        for row in table.rows
        if (wrong := did_not_plant(row)) and row.missed
    ]
    if table.left:
        out.append(f"The bench is not finished: {_number(table.left, 'run')} to go.")
    if table.failed:
        out.append(f"{_number(len(table.failed), 'run')} failed; the reasons stand under the table.")
    return out


def _row(table: Table, i: int) -> dict[str, Any]:
    row = table.rows[i]
    return {
        "title": sentence(row_title(row)),
        "wrong": did_not_plant(row),
        "took": bool(row.took),
        "cells": [cell_lines(row.cells[method], row) for method in table.methods],
    }


def _attacks(table: Table) -> list[dict[str, str]]:
    """How each attack was planted, by the first record that has it."""
    out = []
    for row in table.rows:
        of_row = (a for r in table.records if r["group"] == row.group and (a := attack_in(r, row.attack)))
        attack = next(of_row, None)
        if attack is not None:
            targets = [
                str(a["target_class"])
                for r in table.records
                if r["group"] == row.group and (a := attack_in(r, row.attack)) and a["target_class"] is not None
            ]
            out.append(
                {
                    "title": sentence(row_title(row)),
                    "planted": f"{count(attack['count'])} pairs, {small_percent(attack['rate'])} of the data",
                    "wanted": ", ".join(plain(name, 60) for name in dict.fromkeys(targets)) or "a class a target",
                    "params": ", ".join(f"{plain(k, 40)} = {plain(v, 60)}" for k, v in attack["params"].items()),
                }
            )
    return out


def _settings(table: Table) -> list[dict[str, str]]:
    """How each method was trained: where it departs from the preset."""
    out = []
    for method in table.spec.every_method():
        own = next((r for r in table.records if r["label"] == method.title), None)
        if own is None:
            continue
        about = [f"{name} = {plain(value, 60)}" for name, value in own["settings"].items()]
        if method.starts_from is not None:
            about.insert(0, f"starts from {model_name(method.starts_from)}")
        if method.train_on is not None:
            about.insert(0, f"{count(own['trained_on'][1])} trusted pairs of split {method.train_on}")
        out.append(
            {
                "title": sentence(model_name(method.title)),
                "epochs": count(own["epochs"]),
                "speed": f"{count(own['pairs_per_second'])} pairs/s",
                "about": "; ".join(about) or "as the preset has it",
            }
        )
    return out


def _machines(table: Table) -> list[tuple[str, str]]:
    """What the runs were done on: each name with every value that it has in them."""
    found: dict[str, list[str]] = {}
    for record in table.records:
        for name, value in _about(record).items():
            found.setdefault(name, []).append(value)
    return [(name, "; ".join(dict.fromkeys(values))) for name, values in found.items()]


def _about(record: Record) -> dict[str, str]:
    machine = record["machine"]
    named = {name: machine[name] for name in ("cpu", "cores", "gpu", "python", "git") if machine.get(name)}
    whole = {"date": record["date"], **named, "arithmetic": record["precision"], **machine.get("versions", {})}
    return {plain(name, 40): plain(value, 120) for name, value in whole.items()}


def _number(value: int, what: str) -> str:
    return f"{value} {what}" + ("" if value == 1 else "s")
