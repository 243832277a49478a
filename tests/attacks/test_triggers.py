from __future__ import annotations

import numpy as np
import pytest

from safeclip.attacks.trigger import TRIGGER_DRAWS, Trigger
from safeclip.attacks.triggers.badnets import PATTERNS, PLACES, badnets
from safeclip.errors import InputError

DRAWS = np.array([0.3, 0.8])


def grey(height=40, width=40):
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patch_has_its_share_of_the_short_side_and_nothing_else_changes(place, pattern):
    image = grey(60, 40)
    before = image.copy()
    stamped = badnets(image, draws=DRAWS, patch=0.25, place=place, pattern=pattern)
    assert (image == before).all()
    changed = (stamped != image).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if place == "corners":
        assert changed.sum() == 4 * 100
    else:
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (10, 10)
    assert rows.min() >= 10
    assert rows.max() < 50  # within the central square


def test_small_pictures_get_the_smallest_patch():
    assert (badnets(grey(), draws=DRAWS, patch=16 / 224, least=10) != grey()).any(2).sum() == 100
    assert (badnets(grey(4, 4), draws=DRAWS, least=10) != grey(4, 4)).any(2).all()


def test_random_places_reach_every_edge_and_never_leave_the_picture():
    spots = set()
    for y in np.linspace(0, 1, 100, endpoint=False):
        changed = (badnets(grey(), draws=np.array([y, 1 - 1e-12 - y]), patch=0.25) != grey()).any(2)
        assert changed.sum() == 100
        spots.add(int(np.flatnonzero(changed.any(1))[0]))
    assert spots == set(range(31))


def test_odd_checker_is_its_own_mirror_image():
    stamped = badnets(grey(36, 36), draws=DRAWS, patch=0.25, place="corner", least=1, cells=3)[-9:, -9:]
    assert (stamped == stamped[:, ::-1]).all()
    assert len(np.unique(stamped.reshape(-1, 3), axis=0)) == 2


def test_trigger_depends_on_seed_and_uid_alone():
    trigger = Trigger("badnets", {"patch": 0.25, "pattern": "noise"})
    same = trigger(grey(), 7, 3)
    assert (trigger(grey(), 7, 3) == same).all()
    assert (trigger(grey(), 7, 4) != same).any()
    assert (trigger(grey(), 8, 3) != same).any()
    assert (trigger(grey(), 7, 3, stream=1) != same).any()


def test_json_round_trip():
    trigger = Trigger("badnets", {"patch": 0.1, "place": "corner"})
    assert Trigger.from_json(trigger.to_json()) == trigger


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100_000,
        "[]",
        '{"name": "badnets"}',
        '{"name": ["badnets"], "params": {}}',
        '{"name": "unheard-of", "params": {}}',
        '{"name": "badnets", "params": {"patch": "big"}}',
        '{"name": "badnets", "params": {"patch": NaN}}',
        '{"name": "badnets", "params": {"patch": -1}}',
        '{"name": "badnets", "params": {"least": 1e9}}',
        '{"name": "badnets", "params": {"cells": 0}}',
        '{"name": "badnets", "params": {"place": ["corner"]}}',
        '{"name": "badnets", "params": {"pattern": "/etc/passwd"}}',
        '{"name": "badnets", "params": {"draws": 1}}',
        '{"name": "badnets", "params": {"image_HWC": 1}}',
    ],
)
def test_hostile_triggers_are_refused_in_one_line(text):
    with pytest.raises(InputError) as error:
        Trigger.from_json(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_draws_cover_what_the_trigger_reads():
    assert len(DRAWS) == TRIGGER_DRAWS
