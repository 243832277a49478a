"""What holds for every trigger: shape and type stay, the picture given stays, the same bits twice, bounds."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.attacks.trigger import Trigger, parameters
from safeclip.attacks.triggers import TRIGGERS
from safeclip.errors import InputError
from tests.attacks.triggers.pictures import DRAWS, SIZES, grey, noisy

EVERY = sorted(TRIGGERS)
every = pytest.mark.parametrize("name", EVERY)


@given(
    name=st.sampled_from(EVERY),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 99),
    draws=st.tuples(*[st.floats(0, 1 - 2**-53)] * 2),
)
@settings(max_examples=150, deadline=None)
def test_shape_and_type_stay_the_input_is_untouched_and_the_bits_are_the_same_twice(name, height, width, seed, draws):
    image = noisy(height, width, seed)
    before = image.copy()
    once = TRIGGERS[name](image, draws=np.array(draws))
    assert (once.dtype, once.shape) == (np.uint8, image.shape)
    assert (image == before).all()
    assert not np.shares_memory(once, image)
    assert (TRIGGERS[name](image, draws=np.array(draws)) == once).all()


@every
@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_picture(name, size):
    image = noisy(*size)
    image.flags.writeable = False  # a cache's picture
    out = TRIGGERS[name](image, draws=DRAWS)
    assert (out.dtype, out.shape) == (np.uint8, image.shape)
    assert out.flags.writeable
    if min(size) > 1:
        assert (out != image).any()


@every
def test_a_view_into_a_larger_array_is_read_as_it_is(name):
    whole = noisy(60, 80)
    part = whole[5:45:2, 70:10:-1]
    assert (TRIGGERS[name](part, draws=DRAWS) == TRIGGERS[name](part.copy(), draws=DRAWS)).all()


@every
def test_what_is_random_depends_on_seed_uid_and_stream_alone(name):
    trigger, image = Trigger(name), noisy(32, 32)
    same = trigger(image, 7, 3)
    assert (trigger(image, 7, 3) == same).all()
    fixed = [(trigger(image, *other) == same).all() for other in ((7, 4), (8, 3), (7, 3, 1))]
    assert (
        fixed == [name not in ("badnets", "blended-graded", "blended-mixed", "blended-noise", "stripes", "thing")] * 3
    )


@every
def test_parameters_are_plain_with_a_default_and_explained(name):
    text = inspect.getdoc(TRIGGERS[name])
    for key, value in parameters(name).items():
        assert isinstance(value, (int, float, str)), key
        assert f"{key}:" in text, f"{name}.{key} is not in the docstring"
    assert json.loads(json.dumps(parameters(name))) == parameters(name)
    assert not {*parameters(name)} & {"count", "rate", "share", "target_class", "label", "seed", "name", "avoid"}


WRONG = [None, True, "big", float("nan"), float("inf"), -1, 1e9, 10**30, 10**400]
WRONG += [[1], {"a": 1}, "/etc/passwd", "", "x" * 10**6]


@every
def test_no_wild_parameter_passes(name):
    for key, default in parameters(name).items():
        for value in WRONG:
            good = isinstance(value, str) and key == "word" and value == "big"
            if good or (key == "pattern_seed" and value == 10**9 and isinstance(value, int)):
                continue
            with pytest.raises(InputError) as error:
                TRIGGERS[name](grey(8, 8), draws=DRAWS, **{key: value})
            message = str(error.value)
            assert message.startswith(f"trigger.{key} = "), message
            assert "\n" not in message
            assert len(message) < 200
        TRIGGERS[name](grey(8, 8), draws=DRAWS, **{key: default})


@pytest.mark.parametrize("word", [" ", "a" * 25, "naïve", "a\nb", "\u202e", "<b>", "ß", "ﬁ"])
def test_words_of_other_characters_are_refused(word):
    with pytest.raises(InputError, match=r"trigger\.word"):
        TRIGGERS["written-word"](grey(), draws=DRAWS, word=word)


@pytest.mark.parametrize("name", EVERY)
def test_a_json_round_trip_plants_the_same_bits(name):
    trigger = Trigger(name, parameters(name))
    again = Trigger.from_json(trigger.to_json())
    assert again == trigger
    assert (again(noisy(33, 57), 1, 2) == trigger(noisy(33, 57), 1, 2)).all()
