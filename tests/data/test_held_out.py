"""Pictures set aside: some of each class, the same ones every time."""

from __future__ import annotations

import numpy as np

from safeclip.data.held_out import set_aside, val_count

LABELS = np.random.default_rng(0).integers(-1, 7, 500)


def test_each_class_gives_its_count_and_pictures_without_a_class_none() -> None:
    mask = set_aside(LABELS, val_count)
    for label in range(7):
        n = int((label == LABELS).sum())
        assert mask[label == LABELS].sum() == round(n / 10)
    assert not mask[LABELS == -1].any()


def test_the_draw_is_the_same_every_time_and_another_with_another_seed() -> None:
    assert (set_aside(LABELS, val_count) == set_aside(LABELS.copy(), val_count)).all()
    assert (set_aside(LABELS, val_count, seed=1) != set_aside(LABELS, val_count)).any()


def test_the_draw_is_spread_over_the_set() -> None:
    rows = np.flatnonzero(set_aside(np.zeros(1000, np.int64), val_count))
    assert 350 < rows.mean() < 650


def test_a_class_keeps_one_picture_to_train_on() -> None:
    assert [val_count(n) for n in (1, 2, 9, 10, 16, 1000)] == [0, 1, 1, 1, 2, 100]
    assert not set_aside(np.array([0, 1, 2]), val_count).any()
    assert not set_aside(np.array([], np.int64), val_count).any()
