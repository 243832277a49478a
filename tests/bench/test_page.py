"""The bench's page: escaped, self-contained, and as honest as the table."""

from __future__ import annotations

import re
from typing import Any

from safeclip.bench.grid import grid
from safeclip.bench.page import render
from safeclip.bench.table import Table, tabulate
from tests.bench.made import CLEANCLIP, MACHINE, attack, record, spec, split
from tests.report.test_page import HOSTILE, Page


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


def test_the_page_needs_nothing_but_itself() -> None:
    text = render(table())
    page = Page(text)
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.links == []
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text


def test_it_says_what_the_table_says() -> None:
    page = Page(render(table()))
    assert "2 attacks, 3 methods and 2 seeds on emoji:pairs=240,concepts=12,eval_pairs=60" in page.text
    assert "31 of 32 = 96.9" in page.text
    assert "SafeCLIP, seed 1: 6 of 192" in page.text, "the end of a line by epoch"
    assert "starts from plain CLIP" in page.text
    assert page.text.count("Careful.") == 0
    svgs = page.tags.count("svg")
    assert svgs == 2 + 3 + 2, "intervals an attack, a scatter a method, planted pairs an attack"


def test_an_attack_that_did_not_plant_is_struck_warned_of_and_drawn_nowhere() -> None:
    text = render(table(planted=False))
    page = Page(text)
    assert "<s>Targeted poisoning</s>" in text
    assert "did not plant (ASR 3 of 16 in seed 0 and 4 of 16 in seed 1)" in page.text
    assert "this row counts for nothing" in page.text
    assert "svg" not in page.tags


def test_nothing_done_yet_is_a_page_too() -> None:
    made = spec()
    cells = grid(made)
    page = Page(render(tabulate(made, [], failed=[(cells[0].title, "no <b>memory</b>")], left=len(cells))))
    assert "The bench is not finished: 4 runs to go." in page.text
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
