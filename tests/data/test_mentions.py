from __future__ import annotations

import pytest

from safeclip.data.mentions import Mentions

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
