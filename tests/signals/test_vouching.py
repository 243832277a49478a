"""Who is vouched for: accused pairs whose captions other pictures say too; not planted ones, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safeclip.signals.vouching import fits, vouched
from tests.signals.natural import classed


def asked(pictures: np.ndarray, captions: torch.Tensor, accused: np.ndarray) -> np.ndarray:
    fits_N = fits(pictures, captions, accused)
    return np.zeros(len(accused), bool) if fits_N is None else vouched(fits_N, captions, accused)


def test_a_class_is_vouched_for_by_those_of_it_that_nobody_accuses() -> None:
    pictures, captions, of = classed()
    accused = (of == 3) & (np.cumsum(of == 3) % 3 > 0)  # two of three
    found = asked(pictures, captions, accused)
    assert found[accused].mean() > 0.9
    assert not found[~accused].any()


def test_pictures_of_anything_under_a_classs_captions_are_not() -> None:
    pictures, captions, of = classed()
    accused = np.isin(np.arange(1000), np.random.default_rng(2).permutation(np.flatnonzero(of != 3))[:60])
    captions[accused] = captions[np.flatnonzero(of == 3)[:60]]
    assert asked(pictures, captions, accused).mean() == 0


def test_copies_do_not_vouch_for_each_other() -> None:
    pictures, captions, of = classed()
    accused = np.isin(np.arange(1000), np.flatnonzero(of != 3)[:60])
    pictures[accused] = pictures[np.flatnonzero(of == 5)[0]]
    captions[accused] = captions[np.flatnonzero(of == 3)[0]].clone()
    assert asked(pictures, captions, accused).mean() == 0


def test_a_pair_that_fits_by_chance_falls_with_its_company() -> None:
    pictures, captions, of = classed()
    some = np.flatnonzero(of != 3)[:60]
    accused = np.isin(np.arange(1000), some)
    captions[accused] = captions[np.flatnonzero(of == 3)[:60]]
    lucky = some[0]
    pictures[lucky] = pictures[np.flatnonzero(of == 3)[0]]
    assert not asked(pictures, captions, accused)[lucky]
    alone = np.arange(1000) == lucky
    assert asked(pictures, captions, alone)[lucky], "by itself it would pass"


def test_pairs_without_words_lower_no_bar() -> None:
    _, captions, of = classed()
    accused = (of == 3) & (np.cumsum(of == 3) % 3 > 0)
    fits_N = np.where(accused, 0.05, np.linspace(0.1, 0.9, 1000)).astype(np.float32)
    assert not vouched(fits_N, captions, accused).any()
    blind = ~accused & (np.arange(1000) % 10 < 7)
    fits_N[blind] = 0
    assert vouched(fits_N, captions, accused)[accused].all(), "0 is what those fit"
    captions[blind] = 0
    assert not vouched(fits_N, captions, accused).any()
    captions[~accused] = 0
    assert not vouched(fits_N, captions, accused).any(), "nobody left to say what is usual"


def test_without_anyone_accused_or_left_to_ask_nobody_is() -> None:
    pictures, captions, _ = classed(60)
    assert not asked(pictures, captions, np.zeros(60, bool)).any()
    assert not asked(pictures, captions, np.arange(60) < 40).any(), "20 are too few to ask"
    with pytest.raises(ValueError, match="60 pictures, 60 captions, 59 accused"):
        asked(pictures, captions, np.zeros(59, bool))
