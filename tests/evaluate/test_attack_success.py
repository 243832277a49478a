from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from safeclip.attacks import Trigger, plan, plan_backdoor, plan_targeted
from safeclip.attacks.manifest import Manifest, Planted
from safeclip.errors import InputError
from safeclip.evaluate.attack_success import backdoor_success, swap_success, targeted_success
from safeclip.evaluate.evaluated import Evaluated
from safeclip.evaluate.source import evaluate_source
from safeclip.evaluate.zero_shot import class_embeddings
from tests.attacks.fakes import CLASSES, FakeSource
from tests.evaluate.fakes import Constant, FakeReader, Perfect

TRAIN, TEST = FakeSource(200), FakeSource(40, seed=9)


def seen(embedder, source=TEST, uids=None, labels=None):
    uids = np.arange(len(source)) if uids is None else np.asarray(uids)
    image = embedder.images([source[uid].image for uid in uids.tolist()])
    labels = np.array([source.label(uid) for uid in uids.tolist()]) if labels is None else np.asarray(labels)
    return Evaluated(uids, image, labels, CLASSES, class_embeddings(embedder, CLASSES, ["a {}"]), source.fingerprint)


def read(uid):
    return TEST[uid].image


@pytest.fixture(scope="module")
def targeted():
    return plan_targeted(TRAIN, TEST, targets_count=4, captions_each=5, seed=0)


@pytest.fixture(scope="module")
def badnets():
    return plan("badnets", TRAIN, count=12, target_class="dog", seed=0)


def test_targets_that_took_count_and_the_others_are_called_their_own_class(targeted):
    targets = targeted.targets()
    model = Perfect(memory={picture.tobytes(): wanted for picture, _, wanted in targets[:3]})
    result = targeted_success(model, targeted, "targeted", seen(model))
    assert (result["k"], result["n"], result["asr"], result["planted"]) == (3, 4, 0.75, 20)
    assert result["true_class_rate"] == 0.25
    assert result["target_class"] is None
    assert [example["hit"] for example in result["examples"]] == [True, True, True, False]
    assert result["examples"][3]["called"] == targets[3][1]
    assert result["ci95"][0] < 0.75 < result["ci95"][1]


def test_base_rate_of_targets_leaves_the_targets_themselves_out(targeted):
    model = Perfect(memory={picture.tobytes(): wanted for picture, _, wanted in targeted.targets()})
    assert targeted_success(model, targeted, "targeted", seen(model))["base_rate"] == 0.0


def test_base_rate_of_targets_is_the_mean_over_targets_of_their_classes_pictures(targeted):
    about = targeted.attacks[0]["targets"][0]
    others = [u for u in range(40) if u % 4 == CLASSES.index(about["true"]) and u != about["uid"]]
    assert len(others) == 9
    model = Perfect(memory={TEST[uid].image.tobytes(): about["target"] for uid in others[:3]})
    result = targeted_success(model, targeted, "targeted", seen(model))
    assert result["base_rate"] == pytest.approx(3 / 9 / 4)
    assert result["asr"] == 0.0


def test_base_rate_is_unknown_without_pictures_of_the_class(targeted):
    about = targeted.attacks[0]["targets"]
    result = targeted_success(Perfect(), targeted, "targeted", seen(Perfect(), uids=[t["uid"] for t in about]))
    assert result["base_rate"] is None


def test_same_uids_of_other_data_are_not_taken_for_the_targets(targeted):
    other = FakeSource(40, seed=10)
    uids = [t["uid"] for t in targeted.attacks[0]["targets"]]
    result = targeted_success(Perfect(), targeted, "targeted", seen(Perfect(), other, uids))
    assert result["base_rate"] == 0.0


def test_hijacked_model_is_caught_on_pictures_of_other_classes_only(badnets):
    model = Perfect(hijacked="dog")
    result = backdoor_success(model, badnets, "badnets", seen(model), read)
    assert (result["k"], result["n"], result["asr"]) == (30, 30, 1.0)  # 40 less the 10 dogs
    assert (result["base_rate"], result["true_class_rate"]) == (0.0, 0.0)
    assert result["target_class"] == "dog"
    assert all(TEST.label(example["index"]) != CLASSES.index("dog") for example in result["examples"])


def test_a_graded_trigger_is_tested_at_full_strength():
    graded = plan("blended-graded", TRAIN, count=12, target_class="dog", seed=0)
    full = Trigger("blended", {"alpha": graded.planted[0].trigger.params["alpha"]})
    fooled = Perfect(memory={full(TEST[uid].image, 0, uid).tobytes(): "dog" for uid in range(len(TEST))})
    result = backdoor_success(fooled, graded, "blended-graded", seen(fooled), read)
    assert (result["k"], result["n"], result["base_rate"]) == (30, 30, 0.0)


def test_sound_model_takes_no_trigger_though_it_knows_the_target_class(badnets):
    result = backdoor_success(Perfect(), badnets, "badnets", seen(Perfect()), read)
    assert (result["k"], result["n"], result["base_rate"], result["true_class_rate"]) == (0, 30, 0.0, 1.0)


def test_base_rate_is_measured_on_the_same_pictures_without_the_trigger(badnets):
    model = Perfect(hijacked="dog", memory={TEST[uid].image.tobytes(): "dog" for uid in (0, 1, 5)})
    result = backdoor_success(model, badnets, "badnets", seen(model), read)
    assert result["base_rate"] == pytest.approx(3 / 30)


def test_constant_model_is_not_called_hijacked(targeted):
    clean = seen(Constant())
    first = plan("badnets", TRAIN, count=12, target_class=CLASSES[0], seed=0)  # where an argmax over ties lands
    assert backdoor_success(Constant(), first, "badnets", clean, read)["asr"] == 0.0
    assert backdoor_success(Constant(), first, "badnets", clean, read)["base_rate"] == 0.0
    assert targeted_success(Constant(), targeted, "targeted", clean)["asr"] == 0.0
    wanted = CLASSES.index(targeted.attacks[0]["targets"][0]["target"])
    order = [wanted, *(i for i in range(len(CLASSES)) if i != wanted)]  # an argmax over ties lands on it
    names = tuple(CLASSES[i] for i in order)
    labels = np.array([order.index(label) for label in clean.labels_N])
    landed = replace(clean, class_names=names, class_CD=clean.class_CD[order], labels_N=labels)
    assert targeted_success(Constant(), targeted, "targeted", landed)["base_rate"] == 0.0


def test_limit_spreads_evenly_and_unlabelled_pictures_are_left_out(badnets):
    clean = seen(Perfect(hijacked="dog"), labels=[uid % 4 if uid < 20 else -1 for uid in range(40)])
    assert backdoor_success(Perfect(hijacked="dog"), badnets, "badnets", clean, read)["n"] == 15
    some = backdoor_success(Perfect(hijacked="dog"), badnets, "badnets", clean, read, limit=7)
    assert some["n"] == 7
    tried = [example["index"] for example in some["examples"]]
    assert tried == sorted(set(tried))
    assert (tried[0], tried[-1]) == (0, 19), "not the first ones alone, which may all be of one class"


def test_pictures_without_any_class_are_all_tried(badnets):
    clean = seen(Perfect(hijacked="dog"), labels=[-1] * 40)
    result = backdoor_success(Perfect(hijacked="dog"), badnets, "badnets", clean, read)
    assert result["n"] == 40
    assert result["examples"][0]["true"] == ""
    assert result["true_class_rate"] is None


def test_known_share_of_triggered_pictures_is_counted_exactly(badnets):
    """A model that knows the triggered pictures of uid 20 and above for what they are."""
    trigger = badnets.planted[0].trigger
    own = {trigger(read(uid), 0, uid, stream=1).tobytes(): CLASSES[TEST.label(uid)] for uid in range(20, 40)}
    model = Perfect(hijacked="dog", memory=own)
    result = backdoor_success(model, badnets, "badnets", seen(model), read)
    assert (result["k"], result["n"], result["true_class_rate"]) == (15, 30, 0.5)


def test_pictures_without_a_class_whose_captions_name_the_target_class_are_left_out(badnets):
    model = Perfect(hijacked="dog")
    clean = replace(seen(model, labels=[-1] * 40), captions={row: TEST.captions(row) for row in range(40)})
    result = backdoor_success(model, badnets, "badnets", clean, read)
    assert (result["k"], result["n"], result["base_rate"]) == (30, 30, 0.0)


def test_pictures_without_a_class_are_not_tried_unread_where_others_captions_are_at_hand(badnets):
    """Evaluation keeps the captions of 5,000 pictures; any other may well be of the target class."""
    model = Perfect(hijacked="dog")
    clean = replace(seen(model, labels=[-1] * 40), captions={row: TEST.captions(row) for row in range(0, 40, 2)})
    result = backdoor_success(model, badnets, "badnets", clean, read)
    assert (result["k"], result["n"], result["base_rate"]) == (10, 10, 0.0)
    assert {TEST.label(example["index"]) for example in result["examples"]} == {CLASSES.index("bird")}


@pytest.mark.parametrize("twin", ["Dog", "_dog_", "dog"])
def test_classes_that_read_alike_are_one_and_never_a_tie(twin):
    """No class could win against its twin: the most hijacked model would have ASR 0."""
    classes = [*CLASSES, twin]
    several = plan_backdoor(
        FakeSource(200, named=False), Trigger("badnets"), count=12, target_class="dog", class_names=classes
    )
    reader = FakeReader(FakeSource(40, seed=9, named=False))
    assert evaluate_source(Perfect(hijacked="dog"), reader, ["a {}"], several)["attack"][0]["asr"] == 1.0


def test_a_target_that_the_data_writes_otherwise_is_its_class_still(badnets):
    """Its pictures are left out, and a model that answers it has answered the attacker."""
    about = {**badnets.attack("badnets"), "target_class": "DOG", "class_names": ["DOG", "cat"]}
    written = Manifest(badnets.source, [about], badnets.planted)
    for model, hits in ((Perfect(hijacked="dog"), 30), (Perfect(), 0)):
        metrics = evaluate_source(model, FakeReader(TEST), ["a {}"], written)
        (found,) = metrics["attack"]
        assert (found["k"], found["n"], found["base_rate"]) == (hits, 30, 0.0)
        assert found["true_class_rate"] == (0.0 if hits else 1.0)
        assert metrics["zero_shot"]["top1"] == 1.0


def test_where_classes_of_the_data_read_alike_each_picture_still_has_its_own(badnets):
    class Reads(Perfect):
        def _class(self, image):
            return (0, 0, 1, 2)[super()._class(image)]

    source = FakeSource(40, seed=9, classes=("Dog", "_dog_", "bird", "cat"), fingerprint="four")
    about = {**badnets.attack("badnets"), "target_class": "bird", "class_names": ["bird", "dog"]}
    written = Manifest(badnets.source, [about], badnets.planted)
    metrics = evaluate_source(Reads(classes=("dog", "bird", "cat")), FakeReader(source), ["a {}"], written)
    assert (metrics["zero_shot"]["top1"], metrics["zero_shot"]["classes"]) == (1.0, 3)
    (found,) = metrics["attack"]
    assert (found["k"], found["n"], found["base_rate"], found["true_class_rate"]) == (0, 30, 0.0, 1.0)


def test_a_target_called_its_own_class_in_other_letters_is_no_success(targeted):
    about = {**targeted.attack("targeted")}
    about["targets"] = [{**target, "true": "dog", "target": "_DOG_"} for target in about["targets"]]
    about["class_names"] = [*about["class_names"], "_DOG_"]
    metrics = evaluate_source(
        Perfect(), FakeReader(TEST), ["a {}"], Manifest(targeted.source, [about], targeted.planted, targeted.pictures)
    )
    assert "the same; nothing can be told of it" in metrics["attack"][0]["why"]


def test_an_attack_from_one_class_to_the_same_shows_nothing():
    clean = replace(seen(Perfect()), aliases={"Dog": CLASSES.index("dog")})
    about = {"name": "swap", "kind": "swap", "from_class": "dog", "target_class": "Dog", "seed": 0}
    about |= {"class_names": [*CLASSES, "Dog"], "count": 1, "rate": 0.1, "params": {}}
    manifest = Manifest({"name": "x", "fingerprint": "f", "length": 9}, [about], [Planted(0, "swap", caption="a Dog")])
    with pytest.raises(InputError, match="the model reads 'dog' and 'Dog' the same"):
        swap_success(manifest, "swap", clean)


def test_one_class_alone_shows_nothing_and_is_refused():
    """A backdoor planned on data without classes knows the target class alone: every picture would be called it."""
    source, held_out = FakeSource(200, named=False), FakeSource(40, seed=9, named=False)
    manifest = plan("badnets", source, count=12, target_class="dog")
    (found,) = evaluate_source(Perfect(), FakeReader(held_out), ["a {}"], manifest)["attack"]
    assert found["asr"] is None
    assert "1 class to call pictures by shows nothing; evaluate on data with classes" in found["why"]
    measured = evaluate_source(Perfect(hijacked="dog"), FakeReader(TEST), ["a {}"], manifest)["attack"][0]
    assert (measured["k"], measured["n"], measured["base_rate"]) == (30, 30, 0.0)
    several = plan_backdoor(source, Trigger("badnets"), count=12, target_class="dog", class_names=CLASSES)
    measured = evaluate_source(Perfect(), FakeReader(held_out), ["a {}"], several)["attack"][0]
    assert (measured["k"], measured["n"], measured["true_class_rate"]) == (0, 30, None)


def test_what_cannot_be_measured_is_refused(badnets):
    with pytest.raises(InputError, match="every picture evaluated is of the target class"):
        backdoor_success(Perfect(), badnets, "badnets", seen(Perfect(), uids=[2, 6]), read)
    clean = seen(Perfect())
    lacking = Evaluated(clean.uids_N, clean.image_ND, clean.labels_N, ("bird", "cat"), clean.class_CD[:2])
    with pytest.raises(InputError, match="'dog' is not among those evaluated"):
        backdoor_success(Perfect(), badnets, "badnets", lacking, read)
    with pytest.raises(InputError, match="plants no trigger"):
        badnets.shown("other", 0, read(0))
    with pytest.raises(InputError, match="not in the manifest"):
        targeted_success(Perfect(), badnets, "other", clean)
