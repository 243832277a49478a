"""Before and after of planted pairs, and the samples of every attack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from safeclip.attacks.catalog import ATTACKS, plan
from safeclip.attacks.changes import changes
from safeclip.attacks.manifest import Manifest, to_png
from safeclip.attacks.samples import Samples
from safeclip.errors import InputError
from tests.attacks.fakes import FakeSource

SOURCE, HELD_OUT = FakeSource(200), FakeSource(40, seed=1)
KINDS = {"badnets": "triggered", "targeted": "replaced", "near-copies": "replaced", "class-swap": "kept"}


@pytest.mark.parametrize(("name", "shows"), KINDS.items())
def test_a_change_is_what_the_data_holds_and_what_training_reads(name, shows):
    small = {key: 2 for key in ("targets_count", "captions_each", "count") if key in ATTACKS[name].params}
    manifest = plan(name, SOURCE, HELD_OUT, **small)
    found = changes(manifest, SOURCE, name, 99)
    assert len(found) == len(manifest)
    for row, change in zip(manifest.planted, found, strict=True):
        own = SOURCE[row.uid]
        picture, captions = manifest(row.uid, own.image, own.captions)
        assert (change.before == own.image).all()
        assert (change.after == picture).all()
        assert (change.captions_before, change.captions_after) == (own.captions, captions)
        assert change.shows == shows


def test_a_row_with_a_picture_of_its_own_shows_another_one():
    manifest = plan("badnets", SOURCE, count=2)
    rows = [replace(row, image=to_png(SOURCE[0].image)) for row in manifest.planted]
    own = Manifest(manifest.source, manifest.attacks, rows)
    assert [change.shows for change in changes(own, SOURCE, "badnets", 9)] == ["replaced"] * 2


def test_at_most_so_many_evenly_spread_and_unreadable_ones_left_out():
    manifest = plan("badnets", SOURCE, count=50)
    found = changes(manifest, SOURCE, "badnets", 5)
    spread = manifest.uids[np.linspace(0, 49, 5).astype(int)].tolist()
    assert [change.captions_before for change in found] == [SOURCE.captions(uid) for uid in spread]
    broken = FakeSource(200, bad=spread[:2])
    assert len(changes(manifest, broken, "badnets", 5)) == 3


def test_other_data_and_other_attacks_are_refused():
    manifest = plan("badnets", SOURCE, count=5)
    with pytest.raises(InputError, match="does not fit"):
        changes(manifest, FakeSource(201), "badnets", 5)
    with pytest.raises(InputError, match="not in the manifest"):
        changes(manifest, SOURCE, "wanet", 5)


def test_every_attack_has_samples_and_image_triggers_share_their_pictures():
    samples = Samples(16)
    first = samples(ATTACKS["badnets"], 3)
    for attack in ATTACKS.values():
        found = samples(attack, 3)
        assert len(found) == (0 if "model" in attack.params else 3), attack.name
        if attack.params.get("label") == "dirty":
            assert all((a.before == b.before).all() for a, b in zip(found, first, strict=True))
            assert all(samples.target_class not in " ".join(change.captions_before) for change in found)
            assert all(change.shows == "triggered" for change in found)
