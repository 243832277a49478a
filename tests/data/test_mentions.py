from __future__ import annotations

import pytest

from safeclip.data.mentions import Mentions, words

NAMES = ("cat", "hot dog", "dog", "berry", "bus", "t-shirt", "♥", "cat face")


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("Two CATS, asleep", {"cat"}),
        ("a caterpillar and a bobcat", set()),
        ("the cat's bowl", {"cat"}),
        ("a hot-dog", {"hot dog", "dog"}),
        ("hot weather, no dogs", {"dog"}),
        ("berries on buses", {"berry", "bus"}),
        ("a T SHIRT", {"t-shirt"}),
        ("♥", set()),
        ("cat_face", {"cat", "cat face"}),
        ("", set()),
        ("hot", set()),
    ],
)
def test_whole_words_in_singular_or_plural(caption, named):
    assert {NAMES[i] for i in Mentions(NAMES)(caption)} == named


ANYWHERE = ("斑马", "狗", "T恤", "汽车站", "ライオン", "หมา", "किला", "کتاب", "ขา", "café")


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("一只斑马在草原上", {"斑马"}),
        ("斑，马", set()),
        ("一辆汽车，站着的狗", {"狗"}),
        ("红色t恤衫和AT恤", {"T恤"}),
        ("AT恤", set()),
        ("白いライオン", {"ライオン"}),
        ("หมาสีดำวิ่ง", {"หมา"}),
        ("ข้าว ขาว", {"ขา"}),
        ("ข้า", set()),
        ("केला", set()),
        ("पहाड़ पर किला, नदी", {"किला"}),
        ("किलाबंद", set()),
        ("کتاب", {"کتاب"}),
        ("cafe\u0301s", {"café"}),
        ("cafe", set()),
    ],
)
def test_names_of_any_script(caption, named):
    """Without spaces, wherever the name's characters stand side by side; else whole words with their marks."""
    assert {ANYWHERE[i] for i in Mentions(ANYWHERE)(caption)} == named


def test_words_of_scripts_without_spaces_are_no_whole_sentences():
    assert words("一只斑马_A") == ["一只", "只斑", "斑马", "a"]
