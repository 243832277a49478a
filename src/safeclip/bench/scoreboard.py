"""A line a method, over all attacks: which of them it held against, and what that cost in clean accuracy and time.

    held        attacks that planted, with success about the base rate (report/verdict.py)
    success     mean over those attacks of its pooled success
    clean       mean clean zero-shot top-1 over all its runs, least and greatest
    cost        mean over the runs that plain CLIP has too (same attacks, same seed) of its top-1 minus plain CLIP's
    recall      mean retrieval R@5 over all its runs, of data whose captions say more than a class
    time        mean over attacks and seeds of its training time against plain CLIP's, on one kind of machine alone

What must stay true: an attack that did not plant counts neither for nor against anybody; a run whose attack did not
plant is no less clean, and counts among the clean ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safeclip.bench.spec import BASELINE
from safeclip.bench.table import Row, Table
from safeclip.report.verdict import Verdict, verdict


@dataclass(frozen=True, kw_only=True)
class Score:
    """method: its label. verdicts: by the group and the attack's label, of those that planted and that it was run
    against. success: None where there are none. top1: clean top-1 of each run, in 0..1. recall: mean R@5 of both ways,
    of each run. cost: None for plain CLIP, and where no run can be compared. time: None likewise.
    """

    method: str
    verdicts: dict[tuple[str, str], Verdict]
    success: float | None
    top1: tuple[float, ...]
    recall: tuple[float, ...]
    cost: float | None
    time: float | None

    @property
    def held(self) -> int:
        return sum(found == "held" for found in self.verdicts.values())


def scoreboard(table: Table) -> list[Score]:
    """A score a method, in the table's order."""
    return [_score(table, method) for method in table.methods]


def judge(row: Row, method: str) -> Verdict | None:
    """How a method did under an attack; None where nothing counts, or nothing was attacked."""
    own = row.cells[method]
    return verdict(own.k / own.n, own.n, own.base_rate, row.kind) if own is not None and own.n else None


def attacked(table: Table) -> list[Row]:
    """Rows of attacks that planted, in the table's order."""
    return [row for row in table.rows if judge(row, BASELINE) is not None]


def _score(table: Table, method: str) -> Score:
    judged = {(row.group, row.attack): judge(row, method) for row in table.rows}
    hits = [own.k / own.n for row in table.rows if (own := row.cells[method]) is not None and own.n]
    times = [time for row in table.rows if (own := row.cells[method]) for time in own.times]
    mine, plain = _tops(table, method), _tops(table, BASELINE)
    costs = [mine[place] - plain[place] for place in mine if place in plain and method != BASELINE]
    return Score(
        method=method,
        verdicts={place: found for place, found in judged.items() if found is not None},
        success=_mean(hits),
        top1=tuple(mine.values()),
        recall=recalls(table, method),
        cost=_mean(costs),
        time=_mean(times),
    )


def recalls(table: Table, method: str) -> tuple[float, ...]:
    """Mean R@5 of each of the method's runs."""
    return tuple(r["retrieval"]["mean_r5"] for r in table.records if r["label"] == method and r["retrieval"])


def _tops(table: Table, method: str) -> dict[tuple[str, int], float]:
    """Clean top-1 of a method's runs, by attacks and seed."""
    mine = [record for record in table.records if record["label"] == method and record["zero_shot"]]
    return {(record["group"], record["seed"]): record["zero_shot"]["top1"] for record in mine}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
