"""DIR/report.html of a bench: one file that opens offline, made from the table and the records behind it.

What must stay true: everything is escaped, as in report/page.py, whose environment this uses; nothing is fetched; which
attacks took plain CLIP, which defence held and what it cost stand before everything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safeclip.bench import figures, setup
from safeclip.bench.scoreboard import Score, attacked, judge, scoreboard
from safeclip.bench.spec import BASELINE, NO_ATTACK
from safeclip.bench.table import Pooled, Row, Table
from safeclip.bench.wording import did_not_plant, notes, places, row_title, seeds, spread
from safeclip.data.sources import without_folders
from safeclip.report.page import environment
from safeclip.report.verdict import HELD, PLANTED
from safeclip.report.words import count, interval, listed, model_name, percent, points, sentence
from safeclip.run import write_text

_BASE = 0.01
"""Base rate from which it stands beside a success rate at a glance."""
_OPEN = 8
"""Attacks up to which charts and numbers of each are unfolded."""


def write_page(file: Path, table: Table) -> None:
    write_text(file, render(table))


def render(table: Table) -> str:
    """The page's HTML."""
    scores, planted = scoreboard(table), attacked(table)
    others = [row for row in table.rows if row.attack != NO_ATTACK and not row.took]
    context = {
        "name": table.spec.name,
        "data": without_folders(table.spec.data.spec),
        "headline": _headline(table, scores),
        "ran": _ran(table),
        "warnings": _warnings(table),
        "methods": [model_name(method) for method in table.methods],
        "scores": [_score(score, len(planted)) for score in scores],
        "retrieves": any(score.recall for score in scores),
        "clean": _unattacked(table),
        "rows": [_row(table, row) for row in planted],
        "missed": [_missed(row) for row in others if row.missed],
        "waiting": sentence(listed([row_title(row) for row in others if not row.missed])),
        "limits": {"held": count(100 * HELD), "through": count(100 * PLANTED), "base": percent(_BASE, 0)},
        "numbers": [block for row in table.rows if (block := _numbers(table, row))["lines"]],
        "several": len(table.spec.seeds) > 1,
        "notes": notes(table),
        "success": figures.success(table),
        "trade": figures.trade(table),
        "inside": figures.inside(table),
        "few": len(planted) <= _OPEN,
        "attacks": setup.attacks(table),
        "settings": setup.settings(table),
        "machines": setup.machines(table),
        "seeds": len(table.spec.seeds),
    }
    return environment("safeclip.bench").get_template("template.html").render(context)


def _headline(table: Table, scores: list[Score]) -> list[tuple[str, str]]:
    """The result: (tone, sentence), tones as on the page of a run."""
    tried = [row for row in table.rows if row.attack != NO_ATTACK and (row.took or row.missed)]
    took = len(attacked(table))
    if not tried:
        return [("", "No attack has been measured yet.")]
    if not took:
        return [("", f"None of {_number(len(tried), 'attack')} took plain CLIP: this shows nothing of any defence.")]
    first = f"{took} of {_number(len(tried), 'attack')} took plain CLIP."
    ran = [score for score in scores if score.method != BASELINE and score.verdicts]
    alike: dict[str, list[str]] = {}
    for score in ran:
        of = "of them" if len(score.verdicts) == took else f"of the {len(score.verdicts)} measured"
        alike.setdefault(f"{score.held or 'none'} {of}", []).append(model_name(score.method))
    told = [f"{listed(names)} held against {held}" for held, names in alike.items()]
    return [("attack", first)] + ([("", f"{sentence('; '.join(told))}.")] if told else [])


def _ran(table: Table) -> str:
    attacks = sum(row.attack != NO_ATTACK for row in table.rows)
    parts = [_number(attacks, "attack"), _number(len(table.methods), "method"), _number(len(table.spec.seeds), "seed")]
    return listed(parts)


def _warnings(table: Table) -> list[str]:
    """What a reader must know before believing the table."""
    out = []
    never = [row_title(row) for row in table.rows if row.missed and not row.took]
    if never:
        out.append(
            f"{sentence(listed(never))} did not plant. A defence against an attack that fails anyway shows nothing: "
            f"{'this row counts' if len(never) == 1 else 'these rows count'} for nothing."
        )
    for row in table.rows:
        if row.missed and row.took:
            told = f"{sentence(row_title(row))} {did_not_plant(row)}: its row pools {seeds(row.took)} alone."
            out.append(told)
    unfinished = [f"The bench is not finished: {_number(table.left, 'run')} to go."] if table.left else []
    if table.failed:
        unfinished.append(f"{_number(len(table.failed), 'run')} failed; the reasons stand under the table.")
    return out + ([" ".join(unfinished)] if unfinished else [])


def _score(score: Score, attacks: int) -> dict[str, str]:
    """The sums of a column. attacks: those that planted."""
    top1, recall = _mean_and_range(score.top1), _mean_and_range(score.recall)
    against = f"{score.held} of {len(score.verdicts)}" if score.method != BASELINE and score.verdicts else "–"
    return {
        "held": against,
        "success": percent(score.success),
        "over": f"over {len(score.verdicts)} of them" if 0 < len(score.verdicts) < attacks else "",
        "top1": top1[0],
        "recall": recall[0],
        "cost": "" if score.cost is None else points(score.cost),
        "around": top1[1],
        "recall_around": recall[1],
        "time": "1" if score.method == BASELINE else "–" if score.time is None else f"{score.time:.1f}",
    }


def _mean_and_range(shares: tuple[float, ...]) -> tuple[str, str]:
    around = interval((min(shares), max(shares))) if len(shares) > 1 else ""
    return percent(sum(shares) / len(shares)) if shares else "–", around


def _unattacked(table: Table) -> list[str]:
    """Clean top-1 of each method where nothing was planted; empty where that was not run."""
    row = next((row for row in table.rows if row.attack == NO_ATTACK), None)
    cells = [] if row is None else [row.cells[method] for method in table.methods]
    return [percent(sum(own.top1) / len(own.top1)) if own is not None and own.top1 else "–" for own in cells]


def _row(table: Table, row: Row) -> dict[str, Any]:
    """An attack that planted: its cells, each with the verdict, the share and what stands behind it."""
    cells = []
    for method in table.methods:
        own = row.cells[method]
        cell: dict[str, Any] = {"verdict": judge(row, method), "share": "–", "lines": [], "by": 0}
        if own is not None and own.n:
            base = f", base {percent(own.base_rate)}" if (own.base_rate or 0.0) >= _BASE else ""
            cell["share"] = percent(own.k / own.n)
            cell["by"] = round(100 * min(1.0, max(0.0, own.k / own.n - (own.base_rate or 0.0)) / PLANTED))
            cell["lines"] = [f"{count(own.k)} of {count(own.n)}{base}", interval(own.around)]
            cell["lines"] += [f"{seeds(own.seeds)} only"] if own.seeds != row.took else []
        cells.append(cell)
    return {"title": sentence(row_title(row)), "wrong": did_not_plant(row), "cells": cells}


def _missed(row: Row) -> dict[str, str]:
    """An attack that did not plant, and what plain CLIP made of it."""
    hits = [f"{count(k)} of {count(n)} ({percent(k / n)}) in seed {seed}" for seed, k, n in row.missed]
    return {"title": sentence(row_title(row)), "wrong": f"plain CLIP gave the attacker's answer for {listed(hits)}"}


def _numbers(table: Table, row: Row) -> dict[str, Any]:
    """All numbers of an attack, a line a method: its name, then the columns of the page's long table."""
    lines = [
        [_of_seeds(method, own, row), *_columns(own, len(table.spec.seeds) > 1)]
        for method in table.methods
        if (own := row.cells[method]) is not None
    ]
    return {"title": sentence(row_title(row)), "wrong": did_not_plant(row), "lines": lines}


def _of_seeds(method: str, own: Pooled, row: Row) -> str:
    """The method, and the seeds where it pools fewer than its row."""
    return sentence(model_name(method)) + ("" if own.seeds == row.took else f", {seeds(own.seeds)}")


def _columns(own: Pooled, several: bool) -> list[str]:
    found = [f"{count(own.k)} of {count(own.n)}", percent(own.k / own.n), interval(own.ci95)] if own.n else ["–"] * 3
    if several:
        found.append(interval((min(own.rates), max(own.rates))) if own.rates else "–")
    found.append(percent(own.base_rate))
    found.append(places(own.places) if own.places else "–")
    found.append(spread(own.top1) if own.top1 else "–")
    found.append("–" if own.in_safe is None else f"{count(own.in_safe)} of {count(own.planted)}")
    found.append(f"{sum(own.times) / len(own.times):.1f}" if own.times else "–")
    return found


def _number(value: int, what: str) -> str:
    return f"{value} {what}" + ("" if value == 1 else "s")
