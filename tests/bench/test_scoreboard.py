"""The scoreboard against numbers computed by hand, and what it does not count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from safeclip.bench.grid import grid
from safeclip.bench.scoreboard import attacked, judge, scoreboard
from safeclip.bench.table import Table, tabulate
from tests.bench.made import attack, record, spec
from tests.bench.test_table import CLIP, SAFE
from tests.bench.test_table import table as two_attacks

SEEDS = [0, 1]
ATTACKS = ["none", "targeted", "badnets", "blended"]


def table(hits: dict[tuple[str, str], int], n: int = 100, base: float = 0.0, **other: Any) -> Table:
    """ATTACKS, two methods, two seeds. hits: (method, attack) -> k of n in each seed; 0 where nothing is said."""
    made = spec(attacks=ATTACKS, seeds=SEEDS)
    records = []
    for cell in grid(made):
        k = hits.get((cell.method.title, cell.group), 0)
        found = [] if cell.group == "none" else [attack(cell.group, k, n, base_rate=base)]
        records.append(record(cell, {}, attacks=found, **other))
    return tabulate(made, records)


def alone(*attacks: str) -> set[tuple[str, str]]:
    """Group and label of attacks that were planted each in runs of its own."""
    return {(attack, attack) for attack in attacks}


def test_numbers_are_those_computed_by_hand() -> None:
    plain, safe = scoreboard(two_attacks())  # targeted planted in seeds 0 and 1, badnets in none
    assert (plain.method, plain.verdicts, plain.held, plain.cost, plain.time) == (
        CLIP,
        {("targeted", "targeted"): "through"},
        0,
        None,
        None,
    )
    assert (safe.method, safe.verdicts, safe.held) == (SAFE, {("targeted", "targeted"): "held"}, 1)
    assert (plain.success, safe.success) == (31 / 32, 1 / 32)
    assert safe.top1 == (0.4, 0.4, 0.5, 0.5, 0.9, 0.9)
    assert safe.cost == pytest.approx((0.4 - 0.6 + 0.5 - 0.7 + 0.9 - 0.1) / 3)
    assert safe.time == pytest.approx((1.5 + 2.5) / 2)


def test_an_attack_that_did_not_plant_counts_for_nobody() -> None:
    made = table({(CLIP, "targeted"): 95, (CLIP, "badnets"): 79, (CLIP, "blended"): 90, (SAFE, "badnets"): 70})
    assert [row.attack for row in attacked(made)] == ["targeted", "blended"]
    plain, safe = scoreboard(made)
    assert plain.verdicts.keys() == safe.verdicts.keys() == alone("targeted", "blended")
    assert (safe.held, safe.success) == (2, 0.0)


def test_held_is_judged_beside_the_base_rate_of_the_method() -> None:
    hits = {(CLIP, name): 100 for name in ATTACKS[1:]} | {(SAFE, "targeted"): 11, (SAFE, "badnets"): 13}
    _, safe = scoreboard(table(hits, base=0.1))
    assert list(safe.verdicts.values()) == ["weakened", "weakened", "held"], "of targeted poisoning no base rate counts"
    assert safe.success == pytest.approx((0.11 + 0.13 + 0.0) / 3)


def test_a_method_is_judged_by_what_it_was_run_against() -> None:
    whole = table({(CLIP, name): 100 for name in ATTACKS[1:]} | {(SAFE, "blended"): 100})
    left = [r for r in whole.records if (r["label"], r["group"]) != (SAFE, "blended")]
    plain, safe = scoreboard(tabulate(whole.spec, left, left=2))
    assert plain.verdicts.keys() == alone("targeted", "badnets", "blended")
    assert (safe.verdicts.keys(), safe.held) == (alone("targeted", "badnets"), 2)


def test_an_attack_alone_and_in_company_is_judged_twice() -> None:
    made = spec(attacks=["badnets", ["badnets", "targeted"]])
    records = []
    for cell in grid(made):
        hits = 100 if cell.baseline or cell.group == "badnets" else 0
        records.append(record(cell, dict.fromkeys(cell.group.split(" + "), (hits, 100))))
    _, safe = scoreboard(tabulate(made, records))
    both = "badnets + targeted"
    assert safe.verdicts == {("badnets", "badnets"): "through", (both, "badnets"): "held", (both, "targeted"): "held"}
    assert safe.held == 2


def test_cost_compares_the_same_runs_alone() -> None:
    made = spec(attacks=["targeted"], seeds=[0, 1, 2])
    records = []
    for cell in grid(made):
        top1 = {(CLIP, 0): 0.8, (CLIP, 1): 0.6, (SAFE, 1): 0.5, (SAFE, 2): 0.9}.get((cell.method.title, cell.seed))
        zero = None if top1 is None else {"top1": top1, "top5": 0.9, "n": 58, "ci95": [0.1, 0.9], "classes": 12}
        records.append(record(cell, {"targeted": (16, 16)}, zero_shot=zero))
    plain, safe = scoreboard(tabulate(made, records))
    assert plain.top1 == (0.8, 0.6)
    assert (safe.top1, safe.cost) == ((0.5, 0.9), pytest.approx(-0.1))


def test_retrieval_is_that_of_every_run_that_has_any() -> None:
    made = spec(attacks=["targeted"], seeds=[0, 1])
    found = {(CLIP, 0): {"mean_r5": 0.2}, (CLIP, 1): None, (SAFE, 0): {"mean_r5": 0.3}, (SAFE, 1): {"mean_r5": 0.5}}
    records = [
        record(cell, {"targeted": (16, 16)}, retrieval=found[cell.method.title, cell.seed]) for cell in grid(made)
    ]
    plain, safe = scoreboard(tabulate(made, records))
    assert (plain.recall, safe.recall) == ((0.2,), (0.3, 0.5))


def test_nothing_done_is_a_score_without_numbers() -> None:
    for score in scoreboard(tabulate(spec(), [], left=4)):
        assert (score.verdicts, score.success, score.cost, score.time) == ({}, None, None, None)
        assert score.top1 == score.recall == ()


def test_a_run_without_an_attack_is_not_judged() -> None:
    made = table({(CLIP, name): 100 for name in ATTACKS[1:]})
    none = next(row for row in made.rows if row.attack == "none")
    assert judge(none, CLIP) is None
    assert judge(replace(none, cells={CLIP: None}), CLIP) is None
