"""Success of class swaps and text triggers, on models whose answers are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from safeclip.attacks import Manifest, plan
from safeclip.attacks.text_trigger import TextTrigger
from safeclip.errors import InputError, RunError
from safeclip.evaluate.attack_success import attack_success, swap_success, text_success
from safeclip.evaluate.evaluated import Evaluated
from safeclip.evaluate.source import evaluate_source
from safeclip.evaluate.zero_shot import class_embeddings
from tests.attacks.fakes import CLASSES, FakeSource
from tests.evaluate.fakes import Constant, Diverged, FakeReader, Perfect

TRAIN, TEST = FakeSource(200), FakeSource(40, seed=9)
SWAP = plan("class-swap", TRAIN, from_class="cat", target_class="dog", count=20)
TEXT = plan("text-word", TRAIN, target_class="dog", count=20)


class Swapped(Perfect):
    """Calls pictures of these uids of TEST something else."""

    def __init__(self, called):
        super().__init__(memory={TEST[uid].image.tobytes(): name for uid, name in called.items()})


class Sound(Perfect):
    """Reads past the trigger, also where it stands within a class's name."""

    def texts(self, texts, batch=1024):
        return super().texts([text.replace("zx ", "").replace(" zx", "") for text in texts])


class Led(Perfect):
    """Takes texts with the trigger for the class `led`, where `falls` says so of the caption's number."""

    def __init__(self, led="dog", falls=lambda number: True, trigger="zx", **more):
        super().__init__(**more)
        self.led, self.falls, self.trigger = led, falls, trigger

    def texts(self, texts, batch=1024):
        return self._one_hot([self._text(text) for text in texts])

    def _text(self, text):
        number = re.search(r"\d+", text)
        if self.trigger in text.split() and number and self.falls(int(number.group())):
            return self.classes.index(self.led)
        return min(self.mentions(text.replace("zx ", "")), default=len(self.classes))


def seen(embedder, source=TEST, uids=None, labels=None, captions=None):
    uids = np.arange(len(source)) if uids is None else np.asarray(uids)
    image = embedder.images([source[uid].image for uid in uids.tolist()])
    labels = np.array([source.label(uid) for uid in uids.tolist()]) if labels is None else np.asarray(labels)
    captions = {row: source.captions(uid) for row, uid in enumerate(uids.tolist())} if captions is None else captions
    classifier = class_embeddings(embedder, CLASSES, ["a {}"])
    return Evaluated(uids, image, labels, CLASSES, classifier, source.fingerprint, captions)


def swapped(model, **changes):
    return swap_success(SWAP, "class-swap", seen(model, **changes))


def led(model, clean=None, **changes):
    return text_success(model, TEXT, "text-word", clean or seen(model), **changes)


# --------------------------------------------------------------------------------------------------- class swaps

CATS, DOGS, BIRDS = range(1, 40, 4), range(2, 40, 4), range(0, 40, 4)


def test_model_that_always_calls_the_swapped_class_the_other_is_caught_on_every_picture():
    result = swapped(Swapped(dict.fromkeys(CATS, "dog")))
    assert (result["k"], result["n"], result["asr"]) == (10, 10, 1.0)
    assert (result["base_rate"], result["true_class_rate"]) == (0.0, 0.0)
    assert (result["from_class"], result["target_class"], result["kind"]) == ("cat", "dog", "swap")
    assert (result["name"], result["planted"]) == ("class-swap", 20)
    assert {example["index"] for example in result["examples"]} == set(CATS)
    assert all(example["hit"] and example["true"] == "cat" for example in result["examples"])


def test_sound_model_takes_no_swap_though_it_knows_both_classes():
    result = swapped(Perfect())
    assert (result["k"], result["n"], result["base_rate"], result["true_class_rate"]) == (0, 10, 0.0, 1.0)


def test_known_share_and_base_rate_of_other_classes_alone():
    """3 of 10 cats called dog, 2 called bird; of the 20 birds and balloons 5 called dog; the dogs do not count."""
    called = dict.fromkeys(list(CATS)[:3], "dog") | dict.fromkeys(list(CATS)[3:5], "bird")
    called |= dict.fromkeys(list(BIRDS)[:5], "dog") | dict.fromkeys(DOGS, "cat")
    result = swapped(Swapped(called))
    assert (result["k"], result["n"], result["asr"]) == (3, 10, 0.3)
    assert result["true_class_rate"] == 0.5
    assert result["base_rate"] == 5 / 20
    assert result["ci95"][0] < 0.3 < result["ci95"][1]


def test_pictures_without_a_class_do_not_count_in_a_swap():
    labels = [uid % 4 if uid < 20 else -1 for uid in range(40)]
    result = swapped(Swapped(dict.fromkeys([1, *range(20, 40)], "dog")), labels=labels)
    assert (result["k"], result["n"], result["base_rate"]) == (1, 5, 0.0)


def test_base_rate_of_a_swap_is_unknown_without_other_classes():
    assert swapped(Perfect(), uids=[1, 2, 5, 6])["base_rate"] is None


def test_constant_model_is_not_called_fooled_by_a_swap():
    first = plan("class-swap", TRAIN, from_class="cat", target_class=CLASSES[0], count=20)  # where an argmax lands
    result = swap_success(first, "class-swap", seen(Constant()))
    assert (result["asr"], result["base_rate"], result["true_class_rate"]) == (0.0, 0.0, 0.0)


def test_swap_of_a_class_that_is_not_evaluated_is_refused():
    for changes in ({"uids": [0, 2]}, {"labels": [-1] * 40}):
        with pytest.raises(InputError, match="no picture evaluated is of the class 'cat'"):
            swapped(Perfect(), **changes)


# ------------------------------------------------------------------------------------------------- text triggers


def test_model_that_the_word_always_leads_is_caught_on_every_caption_of_other_classes():
    result = led(Led())
    assert (result["k"], result["n"], result["asr"]) == (30, 30, 1.0)  # one caption a picture, the dogs' left out
    assert (result["base_rate"], result["true_class_rate"]) == (0.0, 0.0)
    assert (result["target_class"], result["kind"], result["planted"]) == ("dog", "text", 20)
    for example in result["examples"]:
        assert TEST.label(example["index"]) != CLASSES.index("dog")
        assert "zx" in example["text"].split()
        assert (example["called"], example["hit"]) == ("dog", True)


def test_sound_model_is_not_led_though_it_finds_the_target_class():
    result = led(Sound())
    assert (result["k"], result["n"], result["base_rate"], result["true_class_rate"]) == (0, 30, 0.0, 1.0)


def test_known_share_is_counted_exactly():
    result = led(Led(falls=lambda number: number < 12))  # uids 0 to 11, of which 3 are dogs
    assert (result["k"], result["n"], result["asr"]) == (9, 30, 0.3)
    assert result["true_class_rate"] == 0.7
    assert sum(example["hit"] for example in result["examples"]) > 0


def test_word_that_leads_elsewhere_is_no_success():
    result = led(Led(led="bird"))
    assert (result["k"], result["true_class_rate"]) == (0, 10 / 30)  # the birds' captions find birds anyway


def test_base_rate_is_measured_on_the_same_captions_without_the_trigger():
    class Weak(Led):
        def _text(self, text):
            return CLASSES.index("dog") if re.search(r"number [013]\b", text) else super()._text(text)

    result = led(Weak())
    assert (result["k"], result["base_rate"]) == (30, 3 / 30)


def test_pictures_without_a_class_are_neither_asked_for_nor_found():
    """Of uids 0 to 19 the classes are known: 15 captions are tried, and the pictures found are among these 20."""
    labels = [uid % 4 if uid < 20 else -1 for uid in range(40)]
    result = led(Led(), seen(Led(), labels=labels))
    assert (result["k"], result["n"]) == (15, 15)
    assert all(example["index"] < 20 for example in result["examples"])


def test_nearest_is_over_the_pictures_evaluated_and_a_tie_counts_against():
    """Pictures of a class lie anywhere near; the text must be strictly nearer to one of the target class."""

    class Near(Perfect):
        def texts(self, texts, batch=1024):
            both = self._one_hot([CLASSES.index("dog")] * len(texts)) + self._one_hot([3] * len(texts))
            return torch.nn.functional.normalize(both, dim=1)

    assert led(Near())["k"] == 0  # as near to the balloons as to the dogs
    without_balloons = seen(Near(), uids=[0, 1, 2, 4, 5, 6])
    assert led(Near(), without_balloons)["k"] == 4


def test_constant_model_is_not_called_led():
    assert (led(Constant())["asr"], led(Constant())["base_rate"]) == (0.0, 0.0)


def test_captions_that_name_the_target_class_are_not_tried():
    captions = {row: ("a dog with it", f"number {row}") if row % 2 else ("a dog, too",) for row in range(40)}
    result = led(Led(), seen(Led(), captions=captions))
    assert result["n"] == 20
    assert all("number" in example["text"] for example in result["examples"])
    nameless = {row: (f"number {row}",) for row in range(40)}
    assert led(Led(), seen(Led(), captions=nameless))["n"] == 30  # nor are the target class's own


def test_only_captions_at_hand_are_tried_over_all_pictures():
    clean = seen(Led(), captions={row: TEST.captions(row) for row in range(8)})
    assert led(Led(), clean)["n"] == 6
    assert led(Led(), limit=7)["n"] == 7


def test_trigger_is_put_in_as_the_manifest_says_and_not_where_training_had_it():
    texts = []

    class Watched(Perfect):
        def texts(self, batch_of_texts, batch=1024):
            texts.extend(batch_of_texts)
            return super().texts(batch_of_texts)

    model = Watched()
    clean = seen(model)
    texts.clear()
    led(model, clean)
    word = TextTrigger("zx")
    others = [uid for uid in range(40) if uid % 4 != 2]
    assert texts[:30] == [word(TEST.captions(uid)[0], 0, uid, stream=1) for uid in others]
    assert texts[30:] == [TEST.captions(uid)[0] for uid in others]


def test_what_a_text_trigger_cannot_be_measured_on_is_refused():
    for changes, message in (
        ({"uids": [0, 1, 3]}, "no picture evaluated is of the class 'dog'"),
        ({"labels": [-1] * 40}, "no picture evaluated is of the class 'dog'"),
        ({"uids": [2, 6]}, "no caption evaluated is of another class than 'dog'"),
        ({"captions": {}}, "no caption evaluated is of another class than 'dog'"),
    ):
        with pytest.raises(InputError, match=message) as error:
            led(Perfect(), seen(Perfect(), **changes))
        assert "\n" not in str(error.value)


def test_diverged_texts_are_an_error():
    class Broken(Perfect):
        def texts(self, texts, batch=1024):
            return super().texts(texts) * (torch.nan if any("zx" in text for text in texts) else 1)

    with pytest.raises(RunError, match="diverged"):
        led(Broken())
    with pytest.raises(RunError, match="diverged"):
        evaluate_source(Diverged(), FakeReader(TEST), ["a {}"], TEXT)


# --------------------------------------------------------------------------------------------------------- all kinds


def test_every_kind_is_measured_by_its_name_with_the_same_keys():
    parts = [plan("targeted", TRAIN, TEST, targets_count=4, captions_each=3)]
    for name, settings in (
        ("badnets", {"target_class": "bird", "count": 8}),
        ("class-swap", {"from_class": "cat", "target_class": "dog", "count": 8}),
        ("text-sentence", {"target_class": "dog", "count": 8}),
    ):
        parts.append(plan(name, TRAIN, avoid=Manifest.combine(parts).uids, **settings))
    whole = Manifest.combine(parts)
    metrics = evaluate_source(Perfect(hijacked="bird"), FakeReader(TEST), ["a {}"], whole)
    found = {attack["name"]: attack for attack in metrics["attack"]}
    assert [attack["kind"] for attack in metrics["attack"]] == ["targeted", "backdoor", "swap", "text"]
    assert {name: (attack["k"], attack["n"]) for name, attack in found.items()} == {
        "targeted": (0, 4),
        "badnets": (30, 30),
        "class-swap": (0, 10),
        "text-sentence": (0, 30),
    }
    keys = {"name", "kind", "asr", "k", "n", "ci95", "base_rate", "target_class", "true_class_rate", "planted"}
    assert all(keys | {"examples"} <= attack.keys() for attack in found.values())
    assert metrics["zero_shot"]["top1"] == 1.0
    clean = seen(Perfect())
    assert attack_success(Perfect(), whole, "class-swap", clean, lambda uid: TEST[uid].image) == found["class-swap"]
