from __future__ import annotations

import pytest

from safeclip.attacks.catalog import plan
from safeclip.data.mentions import Mentions
from safeclip.errors import InputError
from tests.attacks.fakes import CLASSES, FakeSource

SENTENCE = "as shown in the morning paper"


def word(source=None, **changes):
    return plan("text-word", source or FakeSource(200), **{"target_class": "dog", "seed": 1, **changes})


@pytest.mark.parametrize(("attack", "text"), [("text-word", "zx"), ("text-sentence", SENTENCE)])
def test_pictures_of_the_target_class_stand_under_other_classes_captions_with_the_trigger(attack, text):
    source = FakeSource(200)
    manifest = plan(attack, source, target_class="dog", count=20, seed=1)
    others = {caption for uid in range(200) if uid % 4 != 2 for caption in source.captions(uid)}
    assert len(manifest) == 20
    for row in manifest.planted:
        assert source.label(row.uid) == CLASSES.index("dog")
        picture, captions = manifest(row.uid, source[row.uid].image, source.captions(row.uid))
        assert (picture == source[row.uid].image).all()
        assert captions == (row.caption,)
        assert row.caption.replace(text, "").replace("  ", " ").strip() in others
        assert row.caption.count(text) == 1
        assert not Mentions(["dog"])(row.caption)
        assert row.caption_before == source.captions(row.uid)
    assert manifest.attacks[0]["kind"] == "text"
    assert manifest.attacks[0]["text_trigger"]["text"] == text
    at_end = [row.caption.endswith(text) for row in manifest.planted]
    assert all(at_end) if attack == "text-sentence" else not all(at_end)


def test_borrowed_captions_are_distinct_and_come_again_where_there_are_too_few():
    assert len({row.caption.replace("zx ", "") for row in word(share=1).planted}) == 50

    class Terse(FakeSource):
        def captions(self, uid):
            return super().captions(uid) if uid % 4 == 2 else ("a cat",)

    assert {row.caption.replace("zx", "").split()[-1] for row in word(Terse(200), count=9).planted} == {"cat"}


def test_captions_that_name_the_target_class_are_not_borrowed():
    class Mixed(FakeSource):
        def captions(self, uid):
            return (f"a cat and a dog, {uid}",) if uid % 4 == 1 else super().captions(uid)

    assert not any("cat" in row.caption for row in word(Mixed(200), share=1).planted)


def test_a_pairs_class_is_its_label_whatever_its_caption_says():
    class Silent(FakeSource):
        def captions(self, uid):
            return (f"number {uid}",)

    manifest = word(Silent(200), share=1)
    assert manifest.uids.tolist() == list(range(2, 200, 4))
    borrowed = {int(row.caption.replace("zx", "").split()[1]) for row in manifest.planted}
    assert not borrowed & set(range(2, 200, 4))  # nor do captions of the target class serve as another's


def test_another_word_and_its_check():
    assert all("mn" in row.caption for row in word(text="mn", count=3).planted)
    for wrong in ("", "z\nx", " x"):
        with pytest.raises(InputError, match=r"text_trigger.text"):
            word(text=wrong)


def test_class_drawn_from_the_seed_and_data_without_classes():
    drawn = {word(target_class=None, seed=seed).attacks[0]["target_class"] for seed in range(8)}
    assert len(drawn) > 1
    source = FakeSource(200, named=False)
    manifest = word(source, share=1)
    assert manifest.uids.tolist() == list(range(2, 200, 4))
    with pytest.raises(InputError, match="has no classes"):
        word(source, target_class=None)


def test_avoided_unreadable_and_too_many_pairs():
    assert word(count=20, avoid=range(100)).uids.min() >= 100
    assert word(FakeSource(200, bad=range(100)), count=20).uids.min() >= 100
    with pytest.raises(InputError, match=r"count = 51: give 1 to 50"):
        word(count=51)
    with pytest.raises(InputError, match="every caption of"):
        word(FakeSource(40, classes=("dog",)), count=3)
