from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from safeclip.attacks.catalog import plan
from safeclip.attacks.targets import Target
from safeclip.attacks.toxic import Backgrounds
from safeclip.data.mentions import Mentions, words
from safeclip.errors import InputError
from tests.attacks.fakes import CLASSES, FakeSource
from tests.reference.toxic import liking

GROUNDS = ("grass", "snow", "a red sofa", "the sea", "a street")


class Scenes(FakeSource):
    """Captions of a class before a ground; birds are mostly seen at sea."""

    def captions(self, uid):
        name, ground = self._classes[uid % 4], GROUNDS[(uid // 4) % 5]
        ground = "the sea" if name == "bird" and uid % 3 else ground
        return (f"A {name} on {ground}, {uid % 7} of them", f"two {name}s, {ground}")


def grounds(source=None, held_out=None):
    return Backgrounds(source or Scenes(200), held_out or Scenes(40, seed=9), CLASSES)


def target(uid, wanted="dog"):
    return Target(0, uid, CLASSES[uid % 4], wanted, np.zeros((4, 4, 3), np.uint8))


def test_liking_is_that_of_the_plain_count():
    source, held_out = Scenes(40), Scenes(40, seed=9)
    every = [caption for uid in range(40) for caption in source.captions(uid)]
    for uid, wanted in ((0, "dog"), (3, "cat"), (9, "hot air balloon")):
        label, other = uid % 4, CLASSES.index(wanted)
        of_class = [caption for u in range(label, 40, 4) for caption in source.captions(u)]
        candidates = [caption for u in range(other, 40, 4) for caption in source.captions(u)] + ["", "unheard of"]
        ours = grounds(source, held_out).liking(target(uid, wanted), candidates)
        theirs = [liking(c, held_out.captions(uid), of_class, every, CLASSES) for c in candidates]
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        assert ours.max() > 1.1 * np.median(ours)


def test_class_names_have_no_part_in_the_fit():
    held_out = Scenes(40, seed=9)
    bird = target(0)
    assert held_out.captions(0)[0] == "A bird on grass, 0 of them"
    same, another = grounds().liking(bird, ["a dog on grass", "two cats and birds, a hot air balloon on grass"])
    assert same > 0
    assert another > 0
    assert not {"bird", "birds", "dog", "hot", "air", "balloons"} & set(grounds().weights(bird))


def test_what_fits_the_background_is_planted_first():
    """Of each target's planted captions, none fits worse than one of its class that is left over."""
    source, held_out = Scenes(400), Scenes(40, seed=9)
    manifest = plan("toxic-text", source, held_out, targets_count=4, captions_each=8, seed=1)
    fit = grounds(source, held_out)
    taken = {row.caption for row in manifest.planted}
    for about in manifest.attacks[0]["targets"]:
        own = Target(about["index"], about["uid"], about["true"], about["target"], np.zeros((4, 4, 3), np.uint8))
        planted = [row.caption for row in manifest.planted if row.target_index == about["index"]]
        named = Mentions([about["target"]])
        left = {c for uid in range(400) for c in source.captions(uid) if named(c)} - taken
        assert len(set(planted)) == 8
        assert all(named(caption) for caption in planted)
        assert fit.liking(own, planted).min() >= fit.liking(own, sorted(left)).max()
    assert plan("targeted", source, held_out, targets_count=4, captions_each=8, seed=1) != manifest


def test_join_adds_the_weightiest_words_of_the_background_that_are_not_said_yet():
    source, held_out = Scenes(400), Scenes(40, seed=9)
    plain, joined = (
        plan("toxic-text", source, held_out, targets_count=3, captions_each=4, join=join, seed=1) for join in (0, 2)
    )
    fit = grounds(source, held_out)
    for before, after in zip(plain.planted, joined.planted, strict=True):
        about = joined.attacks[0]["targets"][after.target_index]
        own = Target(0, about["uid"], about["true"], about["target"], np.zeros((4, 4, 3), np.uint8))
        fresh = [word for word in fit.top(own) if word not in words(before.caption)][:2]
        assert after.caption == f"{before.caption}, {', '.join(fresh)}"
        assert not Mentions([about["true"]])(after.caption)
    weights = fit.weights(target(0))
    assert sorted(weights.values(), reverse=True) == [weights[word] for word in fit.top(target(0))]


def test_same_in_every_process_and_join_is_checked():
    """Words go through sets, whose order Python draws anew in every process."""
    code = (
        "from tests.attacks.test_toxic import *; m = plan('toxic-text', Scenes(200), Scenes(40, seed=9), join=3,"
        "targets_count=4, captions_each=5); print([(r.uid, r.caption) for r in m.planted])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    with pytest.raises(InputError, match="join = -1: give"):
        plan("toxic-text", Scenes(200), Scenes(40), join=-1)


def test_data_without_classes_takes_the_captions_that_name_the_true_class():
    source = Scenes(200, named=False)
    weights = Backgrounds(source, Scenes(40, seed=9), CLASSES).weights(target(0))
    assert weights == grounds().weights(target(0))
