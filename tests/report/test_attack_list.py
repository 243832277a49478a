"""`poison --list`: whole, plain in a pipe, with pictures in a colour terminal."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from safeclip.attacks.catalog import ATTACKS
from safeclip.report.attack_list import NOTE, as_values, print_list
from safeclip.report.terminal_pictures import SIDE, shows_pictures, strip


def told(**options) -> str:
    file = io.StringIO()
    print_list(Console(file=file, width=100, **options))
    return file.getvalue()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TERM"):
        monkeypatch.delenv(name, raising=False)


def test_a_pipe_gets_every_attack_in_plain_lines():
    text = told()
    assert "\x1b" not in text
    assert "▀" not in text
    blocks = {block.splitlines()[0]: block for block in text.strip().split("\n\n")}
    assert list(blocks) == [*ATTACKS, NOTE], "what a parameter without a value means comes last"
    for attack in ATTACKS.values():
        block = blocks[attack.name]
        for said in (attack.what, f"source: {attack.source}", f"needs: {attack.needs}"):
            assert said in block
        assert all(name in block.split("parameters: ")[1] for name in attack.params)


def test_attacks_on_captions_show_one():
    blocks = {block.splitlines()[0]: block for block in told().strip().split("\n\n")}
    assert "zx" in blocks["text-word"].split("as in: ")[1]
    assert "the picture stays" in blocks["text-word"]
    assert "and its picture becomes another" in blocks["targeted"].split("as in: ")[1]
    assert "as in: " not in blocks["badnets"]


def test_a_colour_terminal_gets_pictures_of_image_triggers():
    text = told(force_terminal=True, color_system="truecolor")
    blocks = {block.splitlines()[0]: block for block in text.strip().split("\n\n")}
    for attack in ATTACKS.values():
        expected = SIDE // 2 if attack.kind == "backdoor" else 0
        assert sum("▀" in line for line in blocks[attack.name].splitlines()) == expected, attack.name


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"force_terminal": True, "color_system": "truecolor"}, True),
        ({"force_terminal": True, "color_system": "256"}, True),
        ({"force_terminal": True, "color_system": "standard"}, False),
        ({"force_terminal": True, "color_system": "truecolor", "no_color": True}, False),
        ({"force_terminal": False, "color_system": "truecolor"}, False),
    ],
)
def test_pictures_only_where_a_terminal_can_show_them(options, shown):
    assert shows_pictures(Console(file=io.StringIO(), **options)) == shown
    ascii_only = Console(file=io.TextIOWrapper(io.BytesIO(), "ascii"), force_terminal=True, color_system="truecolor")
    assert not shows_pictures(ascii_only)


def test_a_half_block_is_the_upper_px_on_the_lower_one():
    before = np.zeros((SIDE, SIDE, 3), np.uint8)
    before[0, 0], before[1, 0] = (10, 20, 30), (40, 50, 60)
    text = strip([(before, before)], width=80)
    style = next(span.style for span in text.spans if span.start == 0)
    assert (tuple(style.color.triplet), tuple(style.bgcolor.triplet)) == ((10, 20, 30), (40, 50, 60))


@pytest.mark.parametrize(("width", "pairs"), [(10, 1), (72, 1), (73, 2), (111, 3), (500, 4)])
def test_as_many_pairs_as_fit(width, pairs):
    picture = np.zeros((40, 30, 3), np.uint8)
    lines = strip([(picture, picture)] * 4, width).plain.splitlines()
    assert len(lines) == SIDE // 2
    assert {line.count("▀") for line in lines} == {2 * SIDE * pairs}
    assert max(map(len, lines)) <= max(width, 2 * SIDE + 3)


def test_values_are_plain():
    values = json.loads(json.dumps(as_values()))
    assert list(values) == list(ATTACKS)
    assert values["wanet"]["params"]["grid"] == 4
