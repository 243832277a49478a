"""The table's numbers against ones computed by hand, and its words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from safeclip.bench.grid import grid
from safeclip.bench.spec import Spec
from safeclip.bench.summary import summary
from safeclip.bench.table import Table, tabulate
from safeclip.bench.wording import cell_lines, did_not_plant, markdown
from tests.bench.made import BADNETS, MACHINE, TARGETED, attack, record, spec, split

CLIP, SAFE = "clip", "safeclip"
HITS = {  # (method, attack, seed) -> k of 16; targeted did not plant in seed 2, badnets in none
    (CLIP, "targeted"): (16, 15, 3),
    (SAFE, "targeted"): (1, 0, 9),
    (CLIP, "badnets"): (2, 3, 4),
    (SAFE, "badnets"): (0, 0, 0),
}
TOP1 = {CLIP: (0.6, 0.7, 0.1), SAFE: (0.4, 0.5, 0.9)}
SECONDS = {CLIP: (100.0, 200.0, 1.0), SAFE: (150.0, 500.0, 1.0)}
INSIDE = (6, 2, 100)


def runs(made: Spec, leave_out: tuple[str, ...] = (), **other: Any) -> tuple[list[Any], dict[Any, dict[str, Any]]]:
    cells = grid(made)
    records = {}
    for cell in cells:
        method, label, seed = cell.method.title, cell.group, cell.seed
        if cell.title in leave_out:
            continue
        zero = {"top1": TOP1[method][seed], "top5": 0.9, "n": 58, "ci95": [0.1, 0.9], "classes": 12}
        inside = split({label: INSIDE[seed]} if label != "none" else {})
        splits = [inside] if method == SAFE else []
        hits = {} if label == "none" else {label: (HITS[method, label][seed], 16)}
        made_of = {"zero_shot": zero, "splits": splits, "seconds": SECONDS[method][seed]}
        records[cell] = record(cell, hits, **made_of | other)
    return cells, records


def table(**changes: Any) -> Table:
    leave_out = changes.pop("leave_out", ())
    made = spec(seeds=[0, 1, 2], **changes)
    cells, records = runs(made, leave_out)
    return tabulate(made, list(records.values()), left=len(cells) - len(records))


def test_numbers_are_pooled_over_the_seeds_in_which_the_attack_planted() -> None:
    targeted, badnets = table().rows
    assert (targeted.took, targeted.missed, targeted.waiting) == ((0, 1), ((2, 3, 16),), ())
    safe = targeted.cells[SAFE]
    assert safe is not None
    assert (safe.seeds, safe.k, safe.n, safe.rates) == ((0, 1), 1, 32, (1 / 16, 0.0))
    assert safe.ci95 == pytest.approx((0.00554, 0.15744), abs=1e-5)  # Wilson, 1 of 32
    assert (safe.top1, safe.in_safe, safe.planted, safe.times) == ((0.4, 0.5), 8, 384, (1.5, 2.5))
    assert (badnets.took, badnets.missed) == ((), ((0, 2, 16), (1, 3, 16), (2, 4, 16)))
    assert badnets.cells == {CLIP: None, SAFE: None}


def test_of_many_pictures_in_several_seeds_the_range_says_more_than_an_interval() -> None:
    few = table().rows[0].cells[SAFE]
    assert few is not None
    assert few.around == few.ci95, "32 targets"
    many = replace(few, n=2940, k=105, rates=(0.009, 0.011, 0.087))
    assert many.around == (0.009, 0.087)
    assert replace(many, rates=(0.036,)).around == many.ci95, "one seed"


def test_times_are_compared_by_one_revision_alone() -> None:
    made = spec(attacks=[TARGETED])
    for git, times in (({CLIP: "a", SAFE: "a"}, (1.0,)), ({CLIP: "a", SAFE: "b"}, ())):
        records = [
            record(cell, {"targeted": (16, 16)}, machine=MACHINE | {"git": git[cell.method.title]})
            for cell in grid(made)
        ]
        safe = tabulate(made, records).rows[0].cells[SAFE]
        assert safe is not None
        assert safe.times == times


def test_a_cell_in_words() -> None:
    targeted = table().rows[0]
    assert cell_lines(targeted.cells[SAFE], targeted) == [
        "1 of 32 = 3.1\u00a0%",
        "95\u00a0%: 0.6 to 15.7\u00a0%",
        "a seed: 0.0 to 6.2\u00a0%",
        "base rate 5.0\u00a0%",
        "clean top-1 45.0\u00a0% (40.0 to 50.0\u00a0%)",
        "planted in the safe set: 8 of 384",
        "2.0 x plain CLIP's time",
    ]
    plain = cell_lines(targeted.cells[CLIP], targeted)
    assert plain[:2] == ["31 of 32 = 96.9\u00a0%", "95\u00a0%: 84.3 to 99.4\u00a0%"]
    assert not any("time" in line or "safe set" in line for line in plain)


def test_the_place_of_the_attackers_class_is_told_a_seed() -> None:
    made = spec(seeds=[0, 1], attacks=[BADNETS])
    ks = {CLIP: (90, 95), SAFE: (1, 6)}
    records = [record(cell, {cell.group: (ks[cell.method.title][cell.seed], 100)}) for cell in grid(made)]
    row = tabulate(made, records).rows[0]
    assert row.cells[SAFE].places == ((3, 12), (8, 12))
    assert "control: place 3, 8 of 12" in cell_lines(row.cells[SAFE], row)
    del next(r for r in records if r["label"] == SAFE)["attacks"][0]["control"]  # of an older revision
    row = tabulate(made, records).rows[0]
    assert row.cells[SAFE].places == ()
    assert not any("control" in line for line in cell_lines(row.cells[SAFE], row))


def test_a_seed_that_did_not_plant_is_told_and_an_attack_that_never_did_is_struck() -> None:
    made = table()
    text = markdown(made)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| attack | plain CLIP | SafeCLIP |"
    assert rows[2].startswith("| Targeted poisoning<br>did not plant (ASR 3 of 16 in seed 2) | 31 of 32 = 96.9")
    struck = "| ~~BadNets patch~~<br>did not plant (ASR 2 of 16 in seed 0, 3 of 16 in seed 1 and 4 of 16 in seed 2)"
    assert rows[3] == struck + " | – | – |"
    assert "Seeds 0, 1 and 2." in text
    assert "a processor, 2 cores, torch 2.13.0" in text


def test_the_least_share_that_counts_as_planted_is_the_specs() -> None:
    assert [row.took for row in table(plant_at_least=0.15).rows] == [(0, 1, 2), (1, 2)]
    assert [row.took for row in table(plant_at_least=1.0).rows] == [(0,), ()]


def test_a_defence_without_plain_clip_beside_it_counts_for_nothing() -> None:
    made = table(leave_out=("seed 0, targeted, clip", "seed 2, targeted, clip", "seed 1, targeted, safeclip"))
    row = made.rows[0]
    assert (row.took, row.waiting) == ((1,), (0, 2))
    assert row.cells[SAFE] is None
    assert did_not_plant(row) == "no plain CLIP yet in seeds 0 and 2"
    assert made.left == 3
    assert "Not finished: 3 of 12 runs are left." in markdown(made)


def test_a_cell_of_fewer_seeds_than_its_row_says_which() -> None:
    row = table(leave_out=("seed 0, targeted, safeclip",)).rows[0]
    lines = cell_lines(row.cells[SAFE], row)
    assert lines[0] == "0 of 16 = 0.0\u00a0%"
    assert "clean top-1 50.0\u00a0%" in lines
    assert lines[-1] == "seed 1 only"
    assert "seed" not in cell_lines(row.cells[CLIP], row)[-1]


def test_times_are_compared_on_one_kind_of_machine_alone() -> None:
    made = spec(seeds=[0, 1, 2])
    cells, records = runs(made)
    other = next(cell for cell in cells if cell.title == "seed 1, targeted, safeclip")
    records[other]["machine"] = MACHINE | {"cores": 64}
    pooled = tabulate(made, list(records.values())).rows[0].cells[SAFE]
    assert pooled is not None
    assert pooled.times == (1.5,)


def test_the_time_of_what_it_starts_from_counts() -> None:
    made = spec(seeds=[0], attacks=["targeted"])
    cells, records = runs(made)
    records[cells[1]]["seconds_before"] = 100.0
    pooled = tabulate(made, list(records.values())).rows[0].cells[SAFE]
    assert pooled is not None
    assert pooled.times == (2.5,)


def test_a_run_without_an_attack_shows_what_a_method_costs() -> None:
    made = table(attacks=["none"])
    (row,) = made.rows
    assert row.took == (0, 1, 2)
    lines = cell_lines(row.cells[SAFE], row)
    assert lines == ["clean top-1 60.0\u00a0% (40.0 to 90.0\u00a0%)", "1.7 x plain CLIP's time"]
    assert "| No attack | clean top-1" in markdown(made)


def test_attacks_of_one_run_have_a_row_each() -> None:
    made = spec(attacks=[["targeted", "badnets"]])
    cells = grid(made)
    records = {cell: record(cell, {"targeted": (16, 16), "badnets": (5, 100)}) for cell in cells}
    targeted, badnets = tabulate(made, list(records.values())).rows
    assert (targeted.took, badnets.took) == ((0,), ())
    assert "| Targeted poisoning (in one run with BadNets patch) |" in markdown(tabulate(made, list(records.values())))


def test_markdown_takes_nothing_of_the_data_for_markup() -> None:
    made = spec(attacks=[{"name": "badnets", "label": "a|b*<script>`~[x](y)"}])
    cells = grid(made)
    told = tabulate(made, [], failed=[(cells[0].title, "class '<b>|' is\n gone")], left=len(cells))
    text = markdown(told)
    assert "<script>" not in text
    assert r"a\|b\*&lt;script&gt;\`\~\[x\](y)" in text
    assert r"class '&lt;b&gt;\|' is gone" in text


def test_the_summary_has_the_designs_form() -> None:
    made = spec(seeds=[0, 1, 2])
    cells, records = runs(made)
    told = summary(made, cells, records, {})
    assert {"seconds", "machine", "dataset", "runs"} <= told.keys()
    wanted = {"method", "attack", "seed", "epochs", "seconds", "pairs_per_second", "zero_shot_top1", "zero_shot_top5"}
    wanted |= {"asr", "asr_n", "asr_ci95", "base_rate", "planted_total", "planted_in_safe"}
    assert all(wanted <= run.keys() for run in told["runs"])
    assert len(told["runs"]) == 12
    assert told["dataset"]["train_pairs"] == 240
    assert told["seconds"] == sum(r["seconds"] + 20 for r in records.values())
    by_place = {(run["method"], run["attack"], run["seed"]): run for run in told["runs"]}
    plain, safe = by_place[CLIP, "targeted", 2], by_place[SAFE, "targeted", 1]
    assert (plain["planted_in_safe"], plain["planted_total"], plain["planted"]) == (None, 192, False)
    assert (safe["planted_in_safe"], safe["planted_total"], safe["planted"]) == (2, 192, True)
    assert (safe["asr"], safe["k"], safe["asr_n"]) == (0.0, 0, 16)
    assert not any(by_place[SAFE, "badnets", seed]["planted"] for seed in (0, 1, 2))


def test_the_summary_of_a_run_without_attack_has_no_success() -> None:
    made = spec(attacks=["none"], methods=[SAFE])
    cells, records = runs(made, leave_out=("seed 0, none, clip",))
    (entry,) = summary(made, cells, records, {})["runs"]
    assert (entry["attack"], entry["asr"], entry["planted"], entry["planted_in_safe"]) == ("none", None, None, None)


def test_the_summary_keeps_names_and_labels_apart() -> None:
    label = {"name": "badnets", "label": "big patch"}
    made = spec(attacks=[label], methods=[{"method": SAFE, "label": "ours"}])
    cells = grid(made)
    own = attack("big patch", 9, 10, name="badnets")
    records = {cell: record(cell, {}, attacks=[own]) for cell in cells}
    entry = summary(made, cells, records, {})["runs"][1]
    assert [entry[name] for name in ("method", "label", "attack", "attack_label")] == [
        SAFE, "ours", "badnets", "big patch",
    ]  # fmt: skip
