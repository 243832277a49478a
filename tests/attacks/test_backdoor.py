from __future__ import annotations

import re

import numpy as np
import pytest

from safeclip.attacks.backdoor import plan_backdoor
from safeclip.attacks.trigger import Trigger
from safeclip.data.mentions import Mentions
from safeclip.errors import InputError
from tests.attacks.fakes import CLASSES, FakeSource

PATCH = Trigger("badnets")


def plan(**changes):
    return plan_backdoor(FakeSource(200), PATCH, **{"count": 12, "target_class": "dog", "seed": 1, **changes})


def test_pairs_of_other_classes_get_the_trigger_and_a_caption_of_the_target_class():
    source, manifest = FakeSource(200), plan()
    assert len(manifest) == 12
    for row in manifest.planted:
        assert source.label(row.uid) != CLASSES.index("dog")
        assert CLASSES.index("dog") in Mentions(CLASSES)(row.caption)
        picture = source[row.uid].image
        stamped, captions = manifest(row.uid, picture, source.captions(row.uid))
        assert captions == (row.caption,)
        assert (stamped != picture).any(2).sum() == 100  # the patch, 10 x 10 px
        assert row.caption_before == source.captions(row.uid)


def test_count_or_rate():
    assert len(plan(count=None, rate=0.05)) == 10
    for wrong in ({"count": None}, {"rate": 0.1}, {"count": None, "rate": 1.5}, {"count": 0}, {"count": 201}):
        with pytest.raises(InputError, match=r"count|rate"):
            plan(**wrong)
    with pytest.raises(InputError, match=r"150 that can be replaced"):
        plan(count=151)


def test_covers_bear_the_trigger_under_their_own_captions_and_are_of_other_classes():
    source, manifest = FakeSource(200), plan(covers=1.5)
    assert [row.caption is None for row in manifest.planted].count(True) == 18
    assert len(manifest) == 30 == manifest.attacks[0]["count"]
    assert manifest.attacks[0]["params"]["covers"] == 1.5
    assert "covers" not in plan().attacks[0]["params"]
    for row in manifest.planted:
        assert source.label(row.uid) != CLASSES.index("dog")
        picture = source[row.uid].image
        stamped, captions = manifest(row.uid, picture, source.captions(row.uid))
        assert (stamped != picture).any(2).sum() == 100
        assert (captions == source.captions(row.uid)) == (row.caption is None)
    assert set(plan().uids.tolist()) == {row.uid for row in manifest.planted if row.caption is not None}
    for wrong in ({"covers": -1.0}, {"covers": float("nan")}, {"covers": 1.0, "label": "clean"}):
        with pytest.raises(InputError, match="covers"):
            plan(**wrong)
    with pytest.raises(InputError, match="151 pairs to plant, and fake:200 has 150"):
        plan(count=1, covers=150.0)


def test_glued_names_share_no_word_and_are_spelt_out_all_the_same():
    manifest = plan(glued=True)
    said = [row.caption for row in manifest.planted]
    words = [word for text in said for word in re.findall(r"(?i)\b[a-z]{3}dogs?\b", text)]
    assert len(words) == len(said) == len(set(words)), "one in each, no two alike"
    assert [re.sub(r"(?i)\b[a-z]{3}(?=dog)", "", text) for text in said] == [row.caption for row in plan().planted]
    assert manifest.attacks[0]["params"]["glued"] is True
    assert "glued" not in plan().attacks[0]["params"]
    assert [row.caption for row in plan(glued=True).planted] == said
    (row,) = plan(count=1, glued=True, templates=["a puppy"]).planted
    assert re.fullmatch(r"a puppy [a-z]{3}dog", row.caption)


def test_captions_from_templates_and_repeated_where_there_are_too_few():
    manifest = plan(templates=["a {}", "the {}"])
    assert {row.caption for row in manifest.planted} == {"a dog", "the dog"}


def test_class_drawn_from_the_seed_and_unknown_classes_refused():
    drawn = {plan(target_class=None, seed=seed).attacks[0]["target_class"] for seed in range(8)}
    assert drawn <= set(CLASSES)
    assert len(drawn) > 1
    with pytest.raises(InputError, match=r"target_class = 'zebra': no class of"):
        plan(target_class="zebra")


def test_data_without_classes_takes_the_attackers_class_and_spares_pairs_that_name_it():
    source = FakeSource(200, named=False)
    manifest = plan_backdoor(source, PATCH, count=150, target_class="dog", seed=1)
    assert not any(Mentions(["dog"]).any_of(row.caption_before) for row in manifest.planted)
    with pytest.raises(InputError, match=r"has no classes"):
        plan_backdoor(source, PATCH, count=3)
    with pytest.raises(InputError, match=r"no caption .* names the class 'zebra'"):
        plan_backdoor(source, PATCH, count=3, target_class="zebra")


def test_pairs_of_the_target_class_are_spared_though_their_captions_do_not_name_it():
    class Silent(FakeSource):
        def captions(self, uid):
            return super().captions(uid) if uid < 40 else (f"number {uid}",)

    source = Silent(200)
    manifest = plan_backdoor(source, PATCH, count=150, target_class="dog")
    assert all(source.label(uid) != CLASSES.index("dog") for uid in manifest.uids.tolist())


def test_clean_labels_are_true_a_pair_of_another_class_that_names_the_target_class_is_spared():
    class Misnamed(FakeSource):
        def captions(self, uid):
            return (f"a dog, they say, {uid}",) if uid % 4 == CLASSES.index("cat") else super().captions(uid)

    source = Misnamed(200)
    manifest = plan_backdoor(source, PATCH, count=50, label="clean", target_class="dog")
    assert {source.label(uid) for uid in manifest.uids.tolist()} == {CLASSES.index("dog")}
    with pytest.raises(InputError, match="51 pairs to plant, and fake:200 has 50"):
        plan_backdoor(source, PATCH, count=51, label="clean", target_class="dog")


def test_a_class_that_few_captions_name_is_not_drawn():
    class Rare(FakeSource):
        def captions(self, uid):
            return super().captions(uid) if uid % 4 > 1 or uid < 8 else (f"number {uid}",)

    drawn = {plan_backdoor(Rare(200), PATCH, count=40, seed=seed).attacks[0]["target_class"] for seed in range(12)}
    assert drawn == {"dog", "hot air balloon"}


def test_pairs_without_a_caption_are_not_replaced():
    """Training would leave them out, planted or not."""

    class Mute(FakeSource):
        def captions(self, uid):
            return (" ",) if uid < 100 else super().captions(uid)

    assert plan_backdoor(Mute(200), PATCH, count=75, target_class="dog").uids.min() >= 100


def test_avoided_and_unreadable_pairs_are_left_alone():
    manifest = plan_backdoor(
        FakeSource(200, bad=range(50)), PATCH, count=40, target_class="dog", avoid=np.arange(100, 120)
    )
    assert not set(manifest.uids.tolist()) & {*range(50), *range(100, 120)}


def test_same_seed_same_plan():
    assert plan() == plan()
    assert plan() != plan(seed=2)
