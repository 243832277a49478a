"""The bench's page: escaped, self-contained, and as honest as the table."""

from __future__ import annotations

import re
from typing import Any

from safeclip.attacks.catalog import ATTACKS
from safeclip.bench.grid import grid
from safeclip.bench.page import render
from safeclip.bench.table import Table, tabulate
from safeclip.config import METHOD_NAMES
from tests.bench.made import CLEANCLIP, MACHINE, attack, record, spec, split
from tests.report.test_page import HOSTILE, Page

FILTER = {"method": "filter", "set": {"epochs": 4, "filter.look_epochs": 2}}
EVERY = ["safeclip", {"method": "roclip", "set": {"roclip.first": 2}}, CLEANCLIP, FILTER]


def table(planted: bool = True, **other: Any) -> Table:
    made = spec(methods=["clip", "safeclip", CLEANCLIP], seeds=[0, 1])
    cells = grid(made)
    records = {}
    for cell in cells:
        k = (15 if planted else 3) if cell.baseline else 1
        splits = [split({cell.group: n}, epoch=epoch) for epoch, n in ((4, 9), (5, 6))]
        own = {"splits": splits if cell.method.method == "safeclip" else []} | other
        records[cell.id] = record(cell, {cell.group: (k + cell.seed, 16)}, **own)
    return tabulate(made, list(records.values()))


def pooled(hits: dict[tuple[str, str], int | None], attacks: tuple[str, ...] = ("targeted", "badnets")) -> Table:
    """All five methods, one seed. hits: (method, attack) -> k of 100, or None for a run that is not done; 90 for plain
    CLIP and 1 for the others where nothing is said."""
    made = spec(methods=EVERY, attacks=list(attacks))
    records = []
    for cell in grid(made):
        k = hits.get((cell.method.title, cell.group), 90 if cell.baseline else 1)
        if k is not None:
            found = [attack(cell.group, k, 100, base_rate=0.004)] if cell.group != "none" else []
            records.append(record(cell, {}, attacks=found))
    return tabulate(made, records)


def rows(text: str) -> list[list[str]]:
    """Cells of each table row, tags out."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.S)
    cells = [re.findall(r"<(?:th|td)[^>]*>(.*?)</(?:th|td)>", row, re.S) for row in found]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


def row(text: str, start: str) -> list[str]:
    return next(cells for cells in rows(text) if cells[0].startswith(start))


def test_the_page_needs_nothing_but_itself() -> None:
    text = render(table())
    page = Page(text)
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.links == []
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text


def test_it_says_what_the_table_says() -> None:
    text = render(table())
    page = Page(text)
    assert "2 attacks, 3 methods and 2 seeds on emoji:pairs=240,concepts=12,eval_pairs=60" in page.text
    assert row(text, "Targeted poisoning")[1] == "✗ got through: 96.9 % 31 of 32, base 5.0 % 84.3 to 99.4 %"
    assert ["Plain CLIP", "31 of 32", "96.9 %", "84.3 to 99.4 %"] in [cells[:4] for cells in rows(text)]
    assert [cells[6] for cells in rows(text) if cells[0] == "SafeCLIP" and cells[1].endswith("of 32")][-2:] == [
        "–",
        "3, 4 of 12",
    ]
    assert "SafeCLIP 6, 6 of 192" in page.text, "the end of the lines by epoch"
    assert "starts from plain CLIP" in page.text
    assert page.text.count("Careful.") == 0
    svgs = page.tags.count("svg")
    assert svgs == 2 + 3 + 2, "intervals an attack, a scatter a method, planted pairs an attack"


def test_the_headline_says_what_took_plain_clip_and_who_held() -> None:
    hits: dict[tuple[str, str], int | None] = {("clip", "blended"): 79, ("filter", "badnets"): 60}
    hits |= {("roclip", "targeted"): 40, ("cleanclip", "targeted"): 90}
    text = render(pooled(hits, ("targeted", "badnets", "blended", "none")))
    told = Page(text).text
    assert "2 of 3 attacks took plain CLIP." in told
    assert "SafeCLIP held against 2 of them; RoCLIP, CleanCLIP and filtered CLIP held against 1 of them." in told
    assert row(text, "Held against")[1:] == ["–", "2 of 2", "1 of 2", "1 of 2", "1 of 2"]
    assert row(text, "Mean attack success")[1:] == ["90.0 %", "1.0 %", "20.5 %", "45.5 %", "30.5 %"]
    marks = [cell.split()[0] for cell in row(text, "Targeted poisoning")[1:]]
    assert marks == ["✗", "✓", "○", "✗", "✓"]
    kinds = re.search(r">Targeted poisoning.*?</tr>", text, re.S)
    assert kinds is not None
    assert re.findall(r'<td class="(\w+)"', kinds[0]) == ["through", "held", "weakened", "through", "held"]


def test_the_price_in_clean_accuracy_stands_beside_plain_clips() -> None:
    made = spec(methods=EVERY, attacks=["targeted", "none"], seeds=[0, 1])
    tops = {"clip": 0.66, "safeclip": 0.61, "roclip": 0.66, "cleanclip": 0.67, "filter": 0.5}
    records = []
    for cell in grid(made):
        clean = cell.group == "none"
        top1 = tops[cell.method.title] + (0.02 * cell.seed if not clean else 0.2)
        zero = {"top1": top1, "top5": 0.9, "n": 58, "ci95": [0.1, 0.9], "classes": 12}
        records.append(record(cell, {} if clean else {"targeted": (15, 16)}, zero_shot=zero))
        finds = None if cell.method.title == "filter" else {"mean_r5": 0.1 + 0.1 * cell.seed}
        records[-1] |= {"retrieval": finds}
    text = render(tabulate(made, records))
    assert row(text, "Retrieval R@5")[1::4] == ["15.0 % 10.0 to 20.0 %", "–"]
    without = render(tabulate(made, [record | {"retrieval": None} for record in records]))
    assert "Retrieval" not in Page(without).text
    wanted = ["76.5 % 66.0 to 86.0 %", "71.5 % −5.0 points 61.0 to 81.0 %", "76.5 % ±0.0 points 66.0 to 86.0 %"]
    assert row(text, "Clean zero-shot top-1")[1:4] == wanted
    assert row(text, "Clean top-1 without an attack")[1:] == ["86.0 %", "81.0 %", "86.0 %", "87.0 %", "70.0 %"]


def test_a_method_that_was_not_run_against_all_says_so() -> None:
    text = render(pooled({("roclip", "badnets"): None}))
    told = Page(text).text
    assert (
        "SafeCLIP, CleanCLIP and filtered CLIP held against 2 of them; RoCLIP held against 1 of the 1 measured." in told
    )
    assert row(text, "BadNets patch")[3] == "–"


def test_what_held_and_what_got_through_is_not_told_by_colour_alone() -> None:
    text = render(pooled({("roclip", "targeted"): 40}))
    for cell in re.findall(r'<td class="(?:held|weakened|through)".*?</td>', text, re.S):
        assert re.search(r'[✓○✗]<span class="sr"> (?:held|weakened|got through): </span>', cell), cell


def test_the_tint_of_what_was_weakened_grows_with_the_success() -> None:
    text = render(pooled({("roclip", "targeted"): 40, ("filter", "targeted"): 5}))
    line = re.search(r">Targeted poisoning<.*?</tr>", text, re.S)
    assert line is not None
    tints = dict(re.findall(r'<td class="(\w+)" style="--by: (\d+)%"', line[0]))
    by = [int(tint) for tint in re.findall(r'class="weakened" style="--by: (\d+)%"', line[0])]
    assert by == [round(2 * (40 - 0.4)), round(2 * (5 - 0.4))]
    assert tints["through"] == "100"


def test_many_attacks_fold_what_is_of_each_and_few_do_not() -> None:
    many = tuple(name for name in ATTACKS if name not in ("surrogate", "toxic-text"))
    text = render(pooled({}, many))
    folded = "".join(re.findall(r"<details>(.*?)</details>", text, re.S))
    for heading in ("Dots: the share over all seeds", "Table: every number"):
        assert (heading in folded, heading in text) == (True, True)
    assert "At a glance" not in folded
    assert len(re.findall(r'<th scope="row">[^<]*</th>\s*<td class="through"', text)) == len(many)
    few = render(pooled({}))
    assert "Dots: the share" not in "".join(re.findall(r"<details>(.*?)</details>", few, re.S))


def test_a_method_that_splits_once_draws_no_line_by_epoch() -> None:
    made = spec(methods=EVERY)
    records = []
    for cell in grid(made):
        n = {"safeclip": 3, "filter": 1}.get(cell.method.method, 0)
        splits = [split({cell.group: 7 * (epoch + 1)}, epoch=epoch) for epoch in range(n)]
        records.append(record(cell, {cell.group: (15, 16)}, splits=splits))
    text = render(tabulate(made, records))
    assert "SafeCLIP 21 of 192" in text
    assert "filtered CLIP 7 of 192" not in text
    assert ["Filtered CLIP", "7 of 192"] in [[cells[0], cells[-2]] for cells in rows(text) if len(cells) == 9]


def test_every_method_has_a_name_of_its_own_in_the_table() -> None:
    heads = rows(render(pooled({})))[0]
    assert heads == ["", "Plain CLIP", "SafeCLIP", "RoCLIP", "CleanCLIP", "Filtered CLIP"]
    assert len(heads) == 1 + len(METHOD_NAMES)


def test_an_attack_that_did_not_plant_is_struck_warned_of_and_drawn_nowhere() -> None:
    text = render(table(planted=False))
    page = Page(text)
    assert "<s>Targeted poisoning</s>" in text
    assert "plain CLIP gave the attacker's answer for 3 of 16 (18.8\u00a0%) in seed 0 and 4 of 16" in page.text
    assert "these rows count for nothing" in page.text
    assert "None of 2 attacks took plain CLIP: this shows nothing of any defence." in page.text
    assert row(text, "Held against")[1:] == ["–", "–", "–"]
    assert row(text, "Clean zero-shot top-1")[1].startswith("50.0 %"), "a model is no less clean for it"
    assert "svg" not in page.tags


def test_nothing_done_yet_is_a_page_too() -> None:
    made = spec()
    cells = grid(made)
    page = Page(render(tabulate(made, [], failed=[(cells[0].title, "no <b>memory</b>")], left=len(cells))))
    assert "No attack has been measured yet." in page.text
    assert "The bench is not finished: 4 runs to go. 1 run failed; the reasons stand under the table." in page.text
    assert "Not run yet Targeted poisoning and BadNets patch" in page.text
    assert "count for nothing" not in page.text
    assert "no <b>memory</b>" in page.text, "as text"
    assert "b" not in page.tags


def test_text_of_the_data_cannot_change_the_page() -> None:
    hostile = {"target_class": HOSTILE[0], "params": {HOSTILE[1]: HOSTILE[2], "z": "x" * 10_000_000}}
    attacks = [attack("targeted", 16, 16, **hostile), attack("badnets", 16, 16, target_class=HOSTILE[3])]
    machine = MACHINE | {"cpu": HOSTILE[1], "versions": {"torch": HOSTILE[4]}}
    text = render(table(attacks=attacks, machine=machine, settings={"model.name": HOSTILE[2]}))
    page = Page(text)
    assert not {"script", "b", "img"} & set(page.tags)
    assert HOSTILE[0] in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\ud800]", text)
    assert len(text) < 300_000
