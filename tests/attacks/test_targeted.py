from __future__ import annotations

import numpy as np
import pytest

from safeclip.attacks.targeted import plan_targeted
from safeclip.data.mentions import Mentions
from safeclip.errors import InputError
from tests.attacks.fakes import CLASSES, FakeSource


def plan(**changes):
    settings = {"targets_count": 6, "captions_each": 5, "seed": 3, **changes}
    return plan_targeted(FakeSource(200), FakeSource(40, seed=9), **settings)


def test_each_target_gets_its_count_of_distinct_captions_that_name_the_attackers_class():
    manifest = plan()
    assert len(manifest) == 30
    targets = manifest.attacks[0]["targets"]
    for target in targets:
        rows = [row for row in manifest.planted if row.target_index == target["index"]]
        assert len(rows) == len({row.caption for row in rows}) == 5
        for row in rows:
            assert CLASSES.index(target["target"]) in Mentions(CLASSES)(row.caption)
        assert target["true"] != target["target"]
    assert len({row.caption for row in manifest.planted}) == 30


def test_captions_are_the_datas_own_and_their_pairs_are_not_replaced():
    source, manifest = FakeSource(200), plan()
    owner = {caption: uid for uid in range(200) for caption in source.captions(uid)}
    borrowed = {owner[row.caption] for row in manifest.planted}
    assert borrowed.isdisjoint(manifest.uids.tolist())
    for row in manifest.planted:
        assert row.caption_before == source.captions(row.uid)


def test_targets_are_held_out_pictures_of_as_many_classes_as_there_are():
    manifest, held_out = plan(targets_count=4), FakeSource(40, seed=9)
    assert {target["true"] for target in manifest.attacks[0]["targets"]} == set(CLASSES)
    for target, (picture, true, _) in zip(manifest.attacks[0]["targets"], manifest.targets(), strict=True):
        assert (picture == held_out[target["uid"]].image).all()
        assert CLASSES[held_out.label(target["uid"])] == true


def test_planted_pair_shows_the_target_with_the_new_caption():
    manifest = plan()
    row = manifest.planted[0]
    picture, captions = manifest(row.uid, np.zeros((8, 8, 3), np.uint8), ("before",))
    assert (picture == manifest.targets()[row.target_index][0]).all()
    assert captions == (row.caption,)


def test_same_seed_same_plan_other_seed_another():
    assert plan() == plan()
    assert plan() != plan(seed=4)


def test_given_classes_are_taken_in_turn_and_the_rest_left_alone():
    manifest = plan(target_classes=["dog", "cat"], avoid=range(100))
    assert {t["target"] for t in manifest.attacks[0]["targets"]} == {"dog", "cat"}
    assert manifest.uids.min() >= 100


def test_too_few_captions_say_the_class_and_how_many():
    with pytest.raises(InputError, match=r"0 different captions of fake:200 name the class 'zebra' and 5 are needed"):
        plan(target_classes=["zebra"])
    with pytest.raises(InputError, match=r"100 different captions of .* name the class .* 101 are needed"):
        plan(captions_each=101)
    with pytest.raises(InputError, match=r"ask for fewer targets or captions"):
        plan(targets_count=9, captions_each=80)


def test_target_without_classes_and_too_few_pairs_are_refused():
    with pytest.raises(InputError, match=r"has no classes"):
        plan_targeted(FakeSource(200), FakeSource(40, named=False))
    with pytest.raises(InputError, match=r"41 targets.* has 40 readable"):
        plan(targets_count=41, captions_each=1)
    with pytest.raises(InputError, match=r"targets_count = 0"):
        plan(targets_count=0)
    with pytest.raises(InputError, match=r"can be replaced"):
        plan_targeted(FakeSource(24), FakeSource(40, seed=9), targets_count=4, captions_each=5)


def test_unreadable_pairs_are_neither_targets_nor_replaced():
    bad = range(20)
    source, held_out = FakeSource(200, bad=bad), FakeSource(40, seed=9, bad=bad)
    manifest = plan_targeted(source, held_out, targets_count=6, captions_each=5, seed=3)
    assert manifest.uids.min() >= 20
    assert min(t["uid"] for t in manifest.attacks[0]["targets"]) >= 20


def test_class_that_names_the_true_one_is_no_attack():
    classes = ("cat", "cat face")
    with pytest.raises(InputError, match=r"0 of 1 targets|enough for"):
        plan_targeted(
            FakeSource(200, classes=classes), FakeSource(40, classes=classes), targets_count=1, captions_each=2
        )
