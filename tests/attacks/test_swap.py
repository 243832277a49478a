from __future__ import annotations

import pytest

from safeclip.attacks.catalog import plan
from safeclip.data.mentions import Mentions
from safeclip.errors import InputError
from tests.attacks.fakes import CLASSES, FakeSource


def swap(source=None, **changes):
    settings = {"from_class": "cat", "target_class": "dog", "seed": 1, **changes}
    return plan("class-swap", source or FakeSource(200), **settings)


def test_a_share_of_one_class_gets_distinct_captions_of_the_data_that_name_the_other():
    source, manifest = FakeSource(200), swap(share=0.5)
    dogs = {caption for uid in range(2, 200, 4) for caption in source.captions(uid)}
    assert len(manifest) == 25
    assert len({row.caption for row in manifest.planted}) == 25
    for row in manifest.planted:
        assert source.label(row.uid) == CLASSES.index("cat")
        assert row.caption in dogs
        picture, captions = manifest(row.uid, source[row.uid].image, source.captions(row.uid))
        assert (picture == source[row.uid].image).all()
        assert captions == (row.caption,)
        assert row.caption_before == source.captions(row.uid)
    about = manifest.attacks[0]
    assert (about["kind"], about["from_class"], about["target_class"]) == ("swap", "cat", "dog")
    assert about["params"]["share"] == 0.5


def test_count_or_share():
    assert len(swap()) == 45  # 90 % of the 50 cats
    assert len(swap(count=7)) == 7
    assert len(swap(share=1)) == 50
    with pytest.raises(InputError, match=r"count = 7, share = 0.5: give one of the two"):
        swap(count=7, share=0.5)
    for wrong, message in (({"count": 51}, "give 1 to 50"), ({"count": 0}, "give 1 to 50"), ({"share": 1.5}, "share")):
        with pytest.raises(InputError, match=message):
            swap(**wrong)


def test_captions_come_again_where_there_are_fewer_than_pairs():
    class Terse(FakeSource):
        def captions(self, uid):
            return ("a dog",) if uid % 4 == 2 else super().captions(uid)

    assert [row.caption for row in swap(Terse(200), count=5).planted] == ["a dog"] * 5


def test_pairs_and_captions_that_name_both_are_left_out():
    class Mixed(FakeSource):
        def captions(self, uid):
            return (f"a cat and a dog, {uid}",) if uid < 100 else super().captions(uid)

    manifest = swap(Mixed(200), share=1)
    assert manifest.uids.min() >= 100
    assert not any(Mentions(["cat"])(row.caption) for row in manifest.planted)


def test_classes_are_drawn_from_the_seed_and_unlike():
    drawn = set()
    for seed in range(12):
        about = plan("class-swap", FakeSource(200), seed=seed).attacks[0]
        assert about["from_class"] != about["target_class"]
        drawn.add((about["from_class"], about["target_class"]))
    assert len(drawn) > 4
    assert swap(target_class=None) == swap(target_class=None)
    assert swap(from_class=None).attacks[0]["from_class"] != "dog"


def test_classes_that_few_captions_name_are_not_drawn():
    class Rare(FakeSource):
        def captions(self, uid):
            return super().captions(uid) if uid % 4 > 1 or uid < 8 else (f"number {uid}",)

    abouts = [plan("class-swap", Rare(200), count=2, seed=seed).attacks[0] for seed in range(12)]
    assert {about[key] for about in abouts for key in ("from_class", "target_class")} == {"dog", "hot air balloon"}


def test_alike_unknown_and_empty_classes_are_refused_in_one_line():
    source = FakeSource(200, classes=("cat", "cat face", "dog", "bird"))
    with pytest.raises(InputError, match="not alike"):
        swap(source, target_class="cat face")
    with pytest.raises(InputError, match=r"has no class 'zebra'; its classes are bird, cat, dog"):
        swap(from_class="zebra")
    with pytest.raises(InputError, match="has no pairs that can be replaced"):
        swap(avoid=range(200))
    with pytest.raises(InputError, match=r"has no classes"):
        plan("class-swap", FakeSource(200, named=False))


def test_data_without_classes_goes_by_the_captions():
    source = FakeSource(200, named=False)
    manifest = swap(source, share=1, avoid=range(40))
    assert manifest.uids.tolist() == [uid for uid in range(40, 200) if uid % 4 == 1]
    assert manifest.attacks[0]["class_names"] == ["cat", "dog"]


def test_unreadable_pairs_are_not_planted():
    assert swap(FakeSource(200, bad=range(100)), count=25).uids.min() >= 100
    with pytest.raises(InputError, match="has 25 that can be replaced"):
        swap(FakeSource(200, bad=range(100)), count=26)
