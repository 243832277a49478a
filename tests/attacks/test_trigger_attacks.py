"""Every image trigger as an attack: planted on the pairs of the manifest alone, and the same bits from its file."""

from __future__ import annotations

import re

import numpy as np
import pytest

from safeclip.attacks.catalog import plan
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.trigger_attacks import TRIGGER_ATTACKS
from safeclip.attacks.triggers import TRIGGERS
from safeclip.data.mentions import Mentions
from tests.attacks.fakes import CLASSES, FakeSource

NAMES = [attack.name for attack in TRIGGER_ATTACKS]
DOG = CLASSES.index("dog")


def planned(name: str, **params) -> Manifest:
    return plan(name, FakeSource(200), seed=3, **{"count": 12, "target_class": "dog", **params})


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_plants_the_same_bits_after_a_file_and_leaves_clean_pairs_alone(name, tmp_path):
    source, manifest = FakeSource(200), planned(name)
    manifest.save(tmp_path / "m.parquet")
    loaded = Manifest.load(tmp_path / "m.parquet")
    assert loaded == manifest == planned(name)
    planted = set(manifest.uids.tolist())
    assert len(planted) == 24 if name == "blended-covered" else 12
    for uid in range(len(source)):
        picture, captions = source[uid].image, source.captions(uid)
        shown, said = manifest(uid, picture.copy(), captions)
        again, _ = loaded(uid, picture.copy(), captions)
        assert (again == shown).all()
        assert (shown != picture).any() == (uid in planted), uid
        if uid not in planted:
            assert said == captions


@pytest.mark.parametrize("name", NAMES)
def test_training_and_evaluation_use_one_trigger(name):
    manifest = planned(name)
    triggers = {row.trigger.to_json() for row in manifest.planted}
    assert len(triggers) == 1
    about = manifest.attack(name)
    row = manifest.planted[0]
    assert about["params"]["trigger"] == row.trigger.name
    assert all(about["params"][key] == value for key, value in row.trigger.params.items())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "label-consistent"])
def test_dirty_labels_name_the_target_class_on_pictures_of_others(name):
    source, named = FakeSource(200), Mentions(CLASSES)
    rows = planned(name).planted
    assert sum(row.caption is None for row in rows) == (12 if name == "blended-covered" else 0)
    for row in rows:
        assert source.label(row.uid) != DOG
        own = row.caption if name != "stripes-glued" else re.sub(r"(?i)\b[a-z]{3}(?=dog)", "", row.caption)
        assert row.caption is None or DOG in named(own)


def test_label_consistent_keeps_true_captions_of_the_target_class():
    source, manifest = FakeSource(200), planned("label-consistent")
    for row in manifest.planted:
        assert source.label(row.uid) == DOG
        captions = source.captions(row.uid)
        assert manifest(row.uid, source[row.uid].image, captions)[1] == captions
    assert manifest.attack("label-consistent")["params"]["label"] == "clean"


def test_label_consistent_plants_about_half_of_an_embedded_class():
    attack = next(attack for attack in TRIGGER_ATTACKS if attack.name == "label-consistent")
    assert attack.params["count"] == 40  # of 80
    assert attack.params["place"] == "corners", "a moving patch under true captions does not plant"


def test_every_trigger_is_in_an_attack_and_names_are_told_apart():
    from safeclip.report.words import attack_name

    used = {planned(name).planted[0].trigger.name for name in NAMES}
    assert used == set(TRIGGERS)
    titles = [attack_name(name) for name in NAMES]
    assert len(set(titles)) == len(NAMES)
    assert not set(titles) & set(NAMES)


def test_variants_differ_from_what_they_vary():
    source = FakeSource(200)

    def bits(name):
        row = planned(name).planted[0]
        return row.trigger(source[0].image, 0, 0)

    for name, other in (("wanet-pixel", "wanet"), ("badnets-corner", "badnets-corners"), ("badnets-noise", "badnets")):
        assert np.any(bits(name) != bits(other))
