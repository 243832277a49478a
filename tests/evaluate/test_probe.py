"""The linear probe: its objective against plain loops, how C is chosen, and which pictures it is fitted on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from safeclip.data.pairs import BadPair, NoSuchSplit, Pair
from safeclip.data.sources.emoji import EmojiMakeup, EmojiSource
from safeclip.errors import InputError
from safeclip.evaluate import probe as module
from safeclip.evaluate.probe import Embedded, linear_probe, sought
from safeclip.evaluate.probe_pictures import probe_pictures, probe_splits
from safeclip.evaluate.source import evaluate_source
from tests.attacks.fakes import FakeSource
from tests.evaluate.fakes import FakeReader, Perfect
from tests.reference.probe import objective_gradient


def clouds(count: int, seed: int, spread: float = 0.3, classes: int = 3) -> Embedded:
    """Unit vectors about the first axes, one a class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    points = np.eye(6)[labels] + spread * random.normal(size=(count, 6))
    return Embedded((points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("exponent", [-1.0, 1.0])
def test_the_fit_is_where_the_published_objective_has_no_slope(exponent: float, classes: int) -> None:
    pictures = clouds(30, 0, classes=classes)
    classifier, converged = module._fit(pictures, exponent)
    assert converged
    weight, bias = classifier.coef_, classifier.intercept_
    if classes == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    plain = weight.tolist(), bias.tolist(), pictures.image_ND.astype(float).tolist()
    value, by_weight, by_bias = objective_gradient(*plain, pictures.labels_N.tolist(), 10.0**exponent)
    assert np.abs(by_weight).max() < 0.01
    assert np.abs(by_bias).max() < 0.01
    other = objective_gradient(*plain, pictures.labels_N.tolist(), 10.0 ** (exponent + 1))[1]
    assert np.abs(other).max() > 0.02, "the slope would show another C"
    assert value > 0


@pytest.mark.parametrize("peak", [-6.0, -3.3, 0.0, 2.55, 6.0])
def test_c_is_sought_to_an_eighth_of_a_decade(peak: float) -> None:
    tried: list[float] = []

    def score(exponent: float) -> int:
        tried.append(exponent)
        return -round(1e6 * abs(exponent - peak))

    best, value = sought(score)
    assert abs(best - peak) <= 1 / 16 + 1e-9
    assert value == score(best)
    assert len(set(tried)) == len(tried) - 1 <= 7 + 2 * 4, "none is fitted twice, but for this test's last"
    assert min(tried) >= -6
    assert max(tried) <= 6


def test_of_equally_good_c_the_smallest_wins() -> None:
    assert sought(lambda exponent: 5)[0] == -6
    assert sought(lambda exponent: int(exponent >= 1))[0] == 1.0


def test_well_apart_classes_are_told_apart() -> None:
    found = linear_probe(clouds(60, 0, 0.1), clouds(30, 1, 0.1), clouds(45, 2, 0.1))
    json.dumps(found, allow_nan=False)
    assert found["top1"] == 1.0
    assert (found["n"], found["train_n"], found["val_n"], found["classes"], found["converged"]) == (45, 60, 30, 3, True)
    assert found["ci95"][1] == 1.0
    assert 0.9 < found["ci95"][0] < 1.0


def test_c_is_chosen_on_validation_and_the_last_fit_has_both_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[tuple[int, float]] = []
    fit = module._fit

    def watched(pictures: Embedded, exponent: float) -> object:
        fits.append((len(pictures), exponent))
        return fit(pictures, exponent)

    monkeypatch.setattr(module, "_fit", watched)
    train, val = clouds(40, 0, 0.8), clouds(21, 1, 0.8)
    first = linear_probe(train, val, clouds(30, 2))
    assert [n for n, _ in fits[:-1]] == [40] * (len(fits) - 1)
    assert fits[-1] == (61, pytest.approx(np.log10(first["C"])))
    scores = {e: (fit(train, e)[0].predict(val.image_ND) == val.labels_N).sum() for _, e in fits[:-1]}
    assert scores[np.log10(first["C"]).round(6)] == max(scores.values())
    assert first["val_top1"] == max(scores.values()) / 21
    upset = Embedded(clouds(30, 2).image_ND, (clouds(30, 2).labels_N + 1) % 3)
    second = linear_probe(train, val, upset)
    assert second["C"] == first["C"], "the test pictures have no part in it"
    assert second["top1"] < first["top1"]


def test_a_class_that_training_lacks_is_never_right() -> None:
    test = clouds(40, 3, 0.05, classes=4)
    found = linear_probe(clouds(30, 0, 0.05), clouds(15, 1, 0.05), test)
    assert found["top1"] == 0.75


def test_a_fit_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ITERATIONS", 1)
    assert linear_probe(clouds(30, 0), clouds(15, 1), clouds(15, 2))["converged"] is False


def test_an_empty_part_and_a_single_class_are_refused() -> None:
    none = Embedded(np.empty((0, 6), np.float32), np.empty(0, np.int64))
    with pytest.raises(InputError, match="no test picture has a class"):
        linear_probe(clouds(9, 0), clouds(9, 1), none)
    with pytest.raises(InputError, match="all training pictures are of one class"):
        linear_probe(clouds(9, 0, classes=1), clouds(9, 1), clouds(9, 2))


# ---------------------------------------------------------------------------------- which pictures it is fitted on


def splits(**parts: FakeSource) -> Callable[[str], FakeSource]:
    def open_split(name: str) -> FakeSource:
        if name not in parts:
            raise NoSuchSplit(f"split = {name!r}: no such split; there are {', '.join(parts)}")
        return parts[name]

    return open_split


TRAIN, VAL, TEST = FakeSource(200), FakeSource(40, seed=5), FakeSource(40, seed=9)


def test_the_datas_own_validation_split_is_taken_by_its_name() -> None:
    assert probe_splits(splits(train=TRAIN, val=VAL, test=TEST), TEST, "test").val_split == "val"
    found = probe_splits(splits(train=TRAIN, validation=VAL, test=TEST), TEST, "test")
    assert (found.train, found.val, found.val_split) == (TRAIN, VAL, "validation")
    assert probe_splits(splits(train=TRAIN, val=VAL), VAL, "val").val is None, "what is tested does not choose C"


def test_without_one_a_tenth_of_each_class_of_training_is_held_out() -> None:
    found = probe_splits(splits(train=TRAIN, test=TEST), TEST, "test")
    train, val = probe_pictures(Perfect(), found, FakeReader, TEST.class_names)
    assert (len(train), len(val)) == (180, 20)
    assert np.bincount(val.labels_N).tolist() == [5, 5, 5, 5]
    again = probe_pictures(Perfect(), found, FakeReader, TEST.class_names)
    assert (again[1].image_ND == val.image_ND).all()


def test_labels_count_the_tested_datas_classes_whatever_training_has() -> None:
    train = FakeSource(80, classes=("cat", "dog", "eel"))
    found = probe_splits(splits(train=train, val=VAL, test=TEST), TEST, "test")
    fitted, _ = probe_pictures(Perfect(classes=("cat", "dog", "eel")), found, FakeReader, ("ant", "cat", "dog"))
    names = ("ant", "cat", "dog", "eel")
    assert [names[label] for label in fitted.labels_N] == [train.class_names[train.label(uid)] for uid in range(80)]


def test_unreadable_pictures_and_a_limit_leave_fewer() -> None:
    found = probe_splits(splits(train=FakeSource(200, bad=[3, 4]), val=VAL, test=TEST), TEST, "test")
    assert [len(part) for part in probe_pictures(Perfect(), found, FakeReader, TEST.class_names)] == [198, 40]
    limited = probe_pictures(Perfect(), found, FakeReader, TEST.class_names, limit=30)
    assert 28 <= len(limited[0]) <= 30
    assert len(limited[1]) == 30


class Broken(FakeSource):
    def __getitem__(self, uid: int) -> Pair:
        raise BadPair("gone")


@pytest.mark.parametrize(
    ("parts", "split", "said"),
    [
        ({"test": TEST}, "test", "--probe: has nothing to train on; split = 'train': no such split"),
        ({"train": TRAIN}, "train", "--probe: tests on split = 'train', which holds what it trains on"),
        ({"train": TRAIN}, "all", "--probe: tests on split = 'all'"),
        ({"train": TEST}, "test", "has no splits, so it would test on what it trains on"),
        ({"train": Broken(40)}, "test", None),
        ({"train": FakeSource(9, named=False)}, "test", "has no classes; give data with a class column"),
    ],
)
def test_data_that_cannot_be_probed_is_one_line(parts: dict, split: str, said: str | None) -> None:
    if said is None:
        assert probe_splits(splits(**parts), TEST, split).train is parts["train"]
        return
    with pytest.raises(InputError) as error:
        probe_splits(splits(**parts), TEST, split)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_evaluation_probes_its_clean_pictures_with_a_class() -> None:
    found = probe_splits(splits(train=TRAIN, val=VAL, test=TEST), TEST, "test")
    trained = probe_pictures(Perfect(), found, FakeReader, TEST.class_names)
    templates: Sequence[str] = ["a {}"]
    metrics = evaluate_source(Perfect(), FakeReader(FakeSource(40, seed=9, bad=[1])), templates, trained=trained)
    assert metrics["linear_probe"]["top1"] == 1.0
    assert metrics["linear_probe"]["n"] == 39
    assert evaluate_source(Perfect(), FakeReader(TEST), templates)["linear_probe"] is None


def test_data_that_has_no_validation_split_of_another_name_holds_some_of_training_out() -> None:
    makeup = EmojiMakeup(pairs=200, concepts=5, eval_pairs=50)
    splits = probe_splits(lambda split: EmojiSource(split, makeup), EmojiSource("val", makeup), "val")
    assert (splits.val, splits.val_split) == (None, None)
