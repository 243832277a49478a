"""Neighbour agreement against loops; neither a pair nor its copies vote for it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.errors import RunError
from safeclip.signals.nearest import drawn
from safeclip.signals.neighbours import neighbour_agreement
from tests.reference import neighbours as slow


def unit(count: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 30),
    k=st.integers(1, 20),
    groups=st.integers(1, 12),
    chunk=st.integers(1, 40),
    seed=st.integers(0, 999),
)
def test_agreement_equals_the_loops_with_groups_of_any_size(count, k, groups, chunk, seed) -> None:
    image, text = unit(count, 6, seed), unit(count, 5, seed + 1)
    ids = np.random.default_rng(seed).integers(-3, groups, count)
    fast = neighbour_agreement(image, text, k, ids, chunk)
    assert fast.dtype == np.float32
    assert fast == pytest.approx(slow.neighbour_agreement(image.numpy(), text.numpy(), k, ids.tolist()), abs=1e-5)
    alone = neighbour_agreement(image, text, k, None, chunk)
    expected = slow.neighbour_agreement(image.numpy(), text.numpy(), k, list(range(count)))
    assert alone == pytest.approx(expected, abs=1e-5)


def test_copies_of_a_picture_do_not_confirm_each_other() -> None:
    """20 planted copies, more than k, with captions that agree: without groups they vouch for themselves."""
    image, text = unit(200, 16, 0), unit(200, 16, 1)
    image[:20], text[:20] = image[0], text[0]
    groups = np.r_[np.zeros(20, int), np.arange(1, 181)]
    assert neighbour_agreement(image, text, 16)[:20].min() > 0.99
    assert neighbour_agreement(image, text, 16, groups)[:20].max() < 0.5


def test_some_rows_are_compared_as_they_are_by_themselves_and_never_copied_whole(monkeypatch) -> None:
    image, text = unit(90, 6, 0), unit(90, 5, 1)
    rows = np.sort(np.random.default_rng(0).permutation(90)[:70])
    groups, at_once = np.arange(70) // 2, []
    wanted = neighbour_agreement(image[rows], text[rows], 4, groups, 7, 40)
    finite = torch.isfinite
    monkeypatch.setattr(torch, "isfinite", lambda some: (at_once.append(len(some)), finite(some))[1])
    assert np.array_equal(neighbour_agreement(image, text, 4, groups, 7, 40, rows_N=rows), wanted)
    assert max(at_once) == 7, "also where they are checked"


def test_a_single_group_has_no_neighbours_and_no_nan() -> None:
    assert neighbour_agreement(unit(5, 3, 0), unit(5, 3, 1), 2, np.zeros(5, int)).tolist() == [0.0] * 5
    assert neighbour_agreement(unit(1, 3, 0), unit(1, 3, 1)).tolist() == [0.0]
    assert neighbour_agreement(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)


def test_beyond_max_reference_neighbours_come_from_one_fixed_subset() -> None:
    image, text = unit(60, 6, 0), unit(60, 5, 1)
    first = neighbour_agreement(image, text, 4, chunk=7, max_reference=20)
    assert np.array_equal(first, neighbour_agreement(image, text, 4, chunk=7, max_reference=20))
    chosen = drawn(image, 20)
    assert len(np.unique(chosen)) == 20
    assert chosen.max() > 40, "not just the first pairs"
    for i in range(60):
        others = [j for j in chosen if j != i]
        others.sort(key=lambda j: -float(image[i] @ image[j]))
        assert first[i] == pytest.approx(np.mean([float(text[i] @ text[j]) for j in others[:4]]), abs=1e-5)


def test_wrong_input_is_named() -> None:
    good, bad = unit(4, 3, 0), unit(4, 3, 1)
    bad[2, 1] = torch.nan
    with pytest.raises(RunError, match="1 text embeddings are not finite"):
        neighbour_agreement(good, bad)
    with pytest.raises(ValueError, match="groups_N"):
        neighbour_agreement(good, good, groups_N=np.zeros(3, int))
    with pytest.raises(ValueError, match="k = 0"):
        neighbour_agreement(good, good, k=0)
    with pytest.raises(ValueError, match="shapes"):
        neighbour_agreement(good, unit(3, 3, 0))


def test_twelve_thousand_pairs_take_seconds_at_most() -> None:
    image, text = unit(12_000, 128, 0), unit(12_000, 128, 1)
    start = time.process_time()
    neighbour_agreement(image, text, groups_N=np.arange(12_000) // 2)
    assert time.process_time() - start < 8.0, "about 1.5 s of processor time on the machine this was written on"


def test_half_precision_embeddings_are_compared_in_full() -> None:
    image, text = unit(300, 16, 0).half(), unit(300, 16, 1).half()
    groups = np.arange(300) // 2
    wanted = neighbour_agreement(image.float(), text.float(), 8, groups, 77, 90)
    assert np.array_equal(neighbour_agreement(image, text, 8, groups, 77, 90), wanted)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_embeddings_on_the_cpu_are_compared_on_the_gpu() -> None:
    image, text, groups = unit(3000, 16, 0), unit(3000, 16, 1), np.arange(3000) // 2
    wanted = neighbour_agreement(image, text, 8, groups, 700, 900)
    found = neighbour_agreement(image, text, 8, groups, 700, 900, torch.device("cuda"))
    assert found == pytest.approx(wanted, abs=1e-4)
