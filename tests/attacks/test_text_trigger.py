from __future__ import annotations

import pytest

from safeclip.attacks.text_trigger import TextTrigger
from safeclip.errors import InputError

CAPTION = "a  dog,\ton a T-shirt."


def test_a_word_reaches_every_gap_and_leaves_the_rest_as_it_is():
    word = TextTrigger("zx")
    found = {word(CAPTION, 0, uid) for uid in range(200)}
    assert found == {
        "zx a  dog,\ton a T-shirt.",
        "a  zx dog,\ton a T-shirt.",
        "a  dog,\tzx on a T-shirt.",
        "a  dog,\ton zx a T-shirt.",
        "a  dog,\ton a zx T-shirt.",
        "a  dog,\ton a T-shirt. zx",
    }
    places = [word(CAPTION, 0, uid).index("zx") for uid in range(200)]
    assert max(places.count(place) for place in set(places)) < 60


def test_a_sentence_stands_at_the_end():
    assert TextTrigger("seen at noon", "end")(" a dog. ", 0, 3) == "a dog. seen at noon"


def test_a_caption_without_words_becomes_the_trigger():
    for place in ("random", "end"):
        assert TextTrigger("zx", place)(" \n", 0, 0) == "zx"


def test_the_place_depends_on_seed_uid_and_stream_alone():
    word, long = TextTrigger("zx"), " ".join("abcdefghijklmnop")
    assert word(long, 1, 2) == word(long, 1, 2)
    for other in ({"seed": 2, "uid": 2}, {"seed": 1, "uid": 3}, {"seed": 1, "uid": 2, "stream": 1}):
        assert word(long, 1, 2) != word(long, **other)


def test_values_come_back():
    trigger = TextTrigger("seen at noon", "end")
    assert TextTrigger.from_value(trigger.to_value()) == trigger


@pytest.mark.parametrize(
    "value",
    [
        None,
        "zx",
        [],
        {"text": "zx"},
        {"text": "zx", "place": "end", "more": 1},
        {"text": "", "place": "end"},
        {"text": " zx", "place": "end"},
        {"text": "z\nx", "place": "end"},
        {"text": "z\u202ex", "place": "end"},
        {"text": "\ud800", "place": "end"},
        {"text": "z" * 201, "place": "end"},
        {"text": 7, "place": "end"},
        {"text": ["zx"], "place": "end"},
        {"text": "zx", "place": "start"},
        {"text": "zx", "place": ["end"]},
        {"text": "zx", "place": None},
    ],
)
def test_hostile_values_are_refused_in_one_line(value):
    with pytest.raises(InputError, match="text_trigger") as error:
        TextTrigger.from_value(value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()
