"""The control of a trigger, on calls that were written down."""

from __future__ import annotations

import numpy as np
import torch

from safeclip.attacks import plan
from safeclip.evaluate.attack_success import backdoor_success, text_success
from safeclip.evaluate.control import control
from safeclip.evaluate.evaluated import Evaluated
from safeclip.evaluate.lines import metric_lines
from tests.attacks.fakes import CLASSES
from tests.evaluate.fakes import Perfect
from tests.evaluate.test_attack_success import TRAIN, read, seen
from tests.evaluate.test_caption_attack_success import TEXT, Led
from tests.evaluate.test_caption_attack_success import seen as seen_with_captions

NAMES = ("ant", "bee", "cat", "dog", "eel")


def found(called, labels, target, strict=None):
    strict = [True] * len(called) if strict is None else strict
    clean = Evaluated(np.arange(len(labels)), torch.zeros(len(labels), 2), np.array(labels), NAMES, torch.zeros(5, 2))
    return control(clean, np.arange(len(labels)), torch.tensor(called), torch.tensor(strict), target)


def test_every_class_is_asked_what_the_target_is_asked():
    """Eight pictures of ants and bees; of the 8 one is called eel, of the 4 that are no bees 3 are called bees."""
    result = found([4, 1, 1, 1, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 1, 1], target=4)
    assert result == {"place": 3, "classes": 5, "most_class": "bee", "most_asr": 0.75}


def test_to_be_called_ones_own_class_counts_for_no_class():
    assert found([0, 0, 0, 3], [0, 0, 0, 1], target=3) == {
        "place": 1,
        "classes": 5,
        "most_class": "ant",
        "most_asr": 0.0,
    }


def test_a_target_that_is_level_with_others_takes_the_lowest_of_their_places():
    assert found([1, 2, 3, 0], [0, 0, 0, 0], target=3)["place"] == 3
    assert found([0, 0, 0, 0], [0, 0, 0, 0], target=3)["place"] == 5, (
        "a model that knows all says nothing of the target"
    )


def test_a_call_that_is_not_above_every_other_counts_for_no_class():
    assert found([3, 3, 2], [0, 0, 0], target=3, strict=[False, False, True])["most_class"] == "cat"
    assert found([3, 3, 2], [0, 0, 0], target=3, strict=[False, False, True])["place"] == 5


def test_without_the_pictures_own_classes_there_is_none():
    assert found([1, 2], [0, -1], target=3) is None


def test_a_hijacked_models_target_comes_first_and_a_sound_ones_anywhere():
    badnets = plan("badnets", TRAIN, count=12, target_class="dog", seed=0)
    hijacked, sound = Perfect(hijacked="dog"), Perfect()
    assert backdoor_success(hijacked, badnets, "badnets", seen(hijacked), read)["control"]["place"] == 1
    assert backdoor_success(sound, badnets, "badnets", seen(sound), read)["control"]["place"] == len(CLASSES)


def test_a_trigger_that_leads_to_another_class_shows_in_the_control():
    badnets = plan("badnets", TRAIN, count=12, target_class="dog", seed=0)
    drawn = Perfect(hijacked="cat")
    result = backdoor_success(drawn, badnets, "badnets", seen(drawn), read)
    assert (result["k"], result["control"]["most_class"], result["control"]["most_asr"]) == (0, "cat", 1.0)


def test_text_triggers_have_one_too():
    model = Led("cat")
    result = text_success(model, TEXT, "text-word", seen_with_captions(model))["control"]
    assert (result["most_class"], result["most_asr"]) == ("cat", 1.0)


def test_the_line_that_is_printed_says_it():
    badnets = plan("badnets", TRAIN, count=12, target_class="dog", seed=0)
    result = backdoor_success(Perfect(hijacked="cat"), badnets, "badnets", seen(Perfect(hijacked="cat")), read)
    metrics = {"zero_shot": None, "linear_probe": None, "retrieval": None, "attack": [result], "detection": []}
    line = metric_lines(metrics)[-1]
    assert "place 4 of 4, and 'cat' is most called of the others, 100.0%" in line
    assert f"called as it truly is {result['true_class_rate']:.1%};" in line
    assert 0 < result["true_class_rate"] < 1, "those of the cat alone"
