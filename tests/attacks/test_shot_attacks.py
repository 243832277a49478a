from __future__ import annotations

import numpy as np
import pytest

from safeclip.attacks.catalog import plan
from safeclip.attacks.manifest import Manifest
from safeclip.data.decode import decode
from safeclip.data.sources import open_source
from safeclip.errors import InputError
from safeclip.signals.copies import copy_groups, occurrences, perceptual_hashes
from tests.attacks.fakes import FakeSource

NOTHING = np.zeros((8, 8, 3), np.uint8)
SPEC = "emoji:pairs=480,concepts=24,eval_pairs=48"


def shown(manifest):
    """target index -> its planted pictures."""
    pictures: dict[int, list[np.ndarray]] = {}
    for row in manifest.planted:
        pictures.setdefault(row.target_index, []).append(manifest(row.uid, NOTHING, ("before",))[0])
    return pictures


@pytest.fixture(scope="module")
def emoji():
    return open_source(SPEC), open_source(SPEC, split="test")


def test_a_scene_is_planted_in_so_many_shots_and_asked_for_in_another():
    held_out = FakeSource(40, seed=9, side=64)
    manifest = plan("targeted-scene", FakeSource(200), held_out, targets_count=4, captions_each=6, shots=3)
    for target, (asked, _, _) in zip(manifest.attacks[0]["targets"], manifest.targets(), strict=True):
        planted = [picture.tobytes() for picture in shown(manifest)[target["index"]]]
        assert sorted(planted.count(picture) for picture in set(planted)) == [2, 2, 2]
        original = held_out[target["uid"]].image
        assert asked.shape == original.shape
        assert asked.tobytes() not in planted  # success is measured on a shot that was never planted
        assert (asked != original).any()
        assert original.tobytes() not in planted
        assert abs(asked.mean() - original.mean()) < 0.25 * original.mean()  # of the same thing still
    assert len({row.caption for row in manifest.planted}) == 24


def test_number_of_shots_is_checked():
    for shots in (0, 1001):
        with pytest.raises(InputError, match=f"shots = {shots}: give"):
            plan("targeted-scene", FakeSource(200), FakeSource(40), shots=shots)


def test_near_copies_defeat_the_count_of_copies_and_exact_ones_do_not(emoji):
    """By the signal's own code and default thresholds."""
    for attack, alike in (("near-copies", False), ("targeted", True)):
        manifest = plan(attack, *emoji, targets_count=8, captions_each=12)
        hashes = perceptual_hashes([picture for pictures in shown(manifest).values() for picture in pictures])
        few = occurrences(copy_groups(hashes)) <= 2
        assert few.mean() == 0 if alike else few.mean() >= 0.9


def test_near_copies_are_measured_on_the_target_picture_itself(emoji):
    manifest = plan("near-copies", *emoji, targets_count=4, captions_each=5)
    for target, (asked, _, _) in zip(manifest.attacks[0]["targets"], manifest.targets(), strict=True):
        original = decode(emoji[1][target["uid"]].image, max_pixels=10**6)
        assert (asked == original).all()
        planted = shown(manifest)[target["index"]]
        assert len({picture.tobytes() for picture in planted}) == 5
        assert original.tobytes() not in {picture.tobytes() for picture in planted}
        assert all(picture.shape == original.shape for picture in planted)


def test_planted_pictures_come_back_bit_for_bit(emoji, tmp_path):
    for attack in ("targeted-scene", "near-copies"):
        manifest = plan(attack, *emoji, targets_count=2, captions_each=3, seed=5)
        manifest.save(tmp_path / "m.parquet")
        loaded = Manifest.load(tmp_path / "m.parquet")
        assert loaded == manifest == plan(attack, *emoji, targets_count=2, captions_each=3, seed=5)
        assert loaded != plan(attack, *emoji, targets_count=2, captions_each=3, seed=6)
        for uid in manifest.uids.tolist():
            ours, theirs = (m(uid, NOTHING, ("before",)) for m in (manifest, loaded))
            assert (ours[0] == theirs[0]).all()
            assert ours[1] == theirs[1]
