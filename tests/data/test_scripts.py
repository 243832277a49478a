"""Words of any script: with their marks, in pairs of characters where no spaces are, and as ever where neither is."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeclip.data.scripts import runs, words

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
ORDINARY = "".join(
    character
    for code in (*range(0x250), *range(0x370, 0x530), *range(0x2000, 0x2070), *range(0x1F300, 0x1F650))
    if unicodedata.category(character := chr(code))[0] not in "MC"
    and unicodedata.is_normalized("NFC", character.lower())
    and len(character.lower()) == 1
)
"""Latin, Greek and Cyrillic, punctuation and emoji."""


def plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@given(st.text(ORDINARY))
def test_ordinary_text_has_its_plain_words(text: str) -> None:
    assert words(text) == runs(text) == plain(text)


def test_emoji_that_are_drawn_in_another_form_are_still_no_words() -> None:
    text = "1\ufe0f\u20e3 \u2764\ufe0f don\u2019t"
    assert words(text) == plain(text) == ["1", "don", "t"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there: no real captions to compare")
def test_real_captions_have_their_plain_words() -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    column = pq.read_table(SHARED / "flickr8k-64px.parquet", columns=["captions"])["captions"].to_pylist()
    assert all(words(caption) == plain(caption) for captions in column for caption in captions)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("一只斑马，在吃草", ["一只", "只斑", "斑马", "在吃", "吃草"]),
        ("3只狗和猫 猫", ["3", "只狗", "狗和", "和猫", "猫"]),
        ("赤いTシャツ", ["赤い", "t", "シャ", "ャツ"]),
        ("หมาสีดำ ก", ["หม", "มา", "าส", "สี", "ีด", "ดำ", "ก"]),
        ("ໝາສີ", ["ໝາ", "າສ", "ສີ"]),
        ("ខ្មែរ។", ["ខ្", "្ម", "មែ", "ែរ"]),
        ("မြန်မာ", ["မြ", "ြန", "န်", "်မ", "မာ"]),
    ],
)
def test_scripts_without_spaces_are_told_in_pairs_of_characters(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    "text", ["एक काला कुत्ता", "কালো কুকুর", "கருப்பு நாய்", "كَلْب أَسْوَد", "כֶּלֶב שָׁחוֹר", "검은 개", "một con chó"]
)
def test_marks_tear_no_word(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text)) == unicodedata.normalize("NFC", text).split()
