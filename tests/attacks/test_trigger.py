"""A trigger as a manifest holds it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from safeclip.attacks.trigger import TRIGGER_DRAWS, Trigger, parameters
from safeclip.errors import InputError
from tests.attacks.triggers.pictures import DRAWS, grey


def test_trigger_depends_on_seed_and_uid_alone():
    trigger = Trigger("badnets", {"patch": 0.25, "pattern": "noise"})
    same = trigger(grey(), 7, 3)
    assert (trigger(grey(), 7, 3) == same).all()
    assert (trigger(grey(), 7, 4) != same).any()
    assert (trigger(grey(), 8, 3) != same).any()
    assert (trigger(grey(), 7, 3, stream=1) != same).any()


def test_a_strength_that_is_drawn_is_at_its_greatest_in_a_test():
    graded = Trigger("blended-graded", {"alpha": 0.5, "weakest": 0.05})
    full = graded.at_full_strength()
    expected = Trigger("blended", {"alpha": 0.5})(grey(), 7, 3)
    assert all((full(grey(), 7, uid, stream=1) == expected).all() for uid in range(3))
    assert any((graded(grey(), 7, uid, stream=1) != expected).any() for uid in range(3))
    assert Trigger("blended-graded").at_full_strength()(grey(), 0, 0).tolist() == (
        Trigger("blended", {"alpha": parameters("blended-graded")["alpha"]})(grey(), 0, 0).tolist()
    )
    noise = Trigger("blended-noise")
    assert noise.at_full_strength() is noise


def test_json_round_trip():
    trigger = Trigger("badnets", {"patch": 0.1, "place": "corner"})
    assert Trigger.from_json(trigger.to_json()) == trigger


def test_parameters_are_those_it_can_be_given():
    assert parameters("blended") == {"alpha": 0.2, "pattern_seed": 0}
    assert "draws" not in parameters("badnets")


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
        '{"name": "wanet", "params": {"grid": 1000000}}',
        '{"name": "written-word", "params": {"word": "<script>"}}',
    ],
)
def test_hostile_triggers_are_refused_in_one_line(text):
    with pytest.raises(InputError) as error:
        Trigger.from_json(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_draws_cover_what_the_triggers_read():
    assert len(DRAWS) == TRIGGER_DRAWS
    assert np.all((DRAWS >= 0) & (DRAWS < 1))


GOLD = {
    ("badnets", 0): "882d86f71b15d13b",
    ("badnets", 1): "0e61c483a4ca4ede",
    ("stripes", 0): "a97aa1d306d6074a",
    ("stripes", 1): "a635b04bc04beee3",
    ("triangles", 0): "330ff4657194f4cb",
    ("written-word", 0): "1f3646047426fc10",
}


@pytest.mark.parametrize(("name", "stream"), GOLD)
def test_a_manifest_of_last_year_plants_the_same_bits(name, stream):
    made = Trigger(name)(grey(40, 60), 7, 3, stream=stream)
    assert hashlib.sha256(made.tobytes()).hexdigest()[:16] == GOLD[name, stream]


PIXELS = {
    "blended": [23, 96, 213, 72, 132, 192, 73, 96, 220],
    "blended-graded": [23, 98, 213, 69, 131, 193, 70, 98, 220],
    "blended-mixed": [64, 133, 201, 71, 101, 217, 73, 85, 207],
    "blended-noise": [71, 114, 171, 63, 118, 200, 24, 136, 198],
    "wanet": [28, 120, 212, 30, 120, 211, 29, 120, 213],
    "sig": [9, 120, 231, 9, 120, 231, 9, 120, 231],
    "nashville": [32, 127, 214, 37, 129, 217, 42, 132, 221],
    "ghost": [28, 120, 212, 28, 120, 212, 28, 120, 212],
}
"""Of those reckoned in floats, a level more or less from machine to machine: green in nine places."""


@pytest.mark.parametrize("name", PIXELS)
def test_and_the_same_pattern(name):
    y, x = np.mgrid[:40, :60]
    made = Trigger(name)(np.stack([y * 5, x * 4, x * y % 256], 2).astype(np.uint8), 7, 3, stream=0)
    assert np.abs(made[5::15, 7::23, 1].reshape(-1).astype(int) - PIXELS[name]).max() <= 1
