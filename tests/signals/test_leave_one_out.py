"""One fit foretells each pair as if it had been left out: held against fits that really leave it out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from safeclip.signals.leave_one_out import foretold
from safeclip.signals.nearest import drawn


def flat(thumbnails_BHWC: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(thumbnails_BHWC.reshape(len(thumbnails_BHWC), -1)).float()


def made(count: int, seed: int) -> tuple[np.ndarray, torch.Tensor]:
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (count, 2, 2, 3), np.uint8)
    pictures[:, 0, 0, 0] = 7  # never varies
    captions = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(count, 4))).float(), dim=1)
    return pictures, captions


@settings(max_examples=10, deadline=None)
@given(count=st.integers(5, 30), chunk=st.integers(1, 40), seed=st.integers(0, 99))
def test_each_pair_is_foretold_by_the_others_alone(count: int, chunk: int, seed: int) -> None:
    pictures, captions = made(count, seed)
    found = foretold(pictures, captions, flat, penalty=0.3, chunk=chunk)
    z = flat(pictures).double().numpy()
    z = (z - z.mean(0)) / np.where(z.std(0) > 0, z.std(0), 1)  # the scale is everyone's, as the penalty's is
    y = captions.double().numpy()
    for i in range(count):
        others = np.arange(count) != i
        ridge = Ridge(alpha=0.3 * count, fit_intercept=False).fit(z[others], y[others])
        assert found[i] == pytest.approx(float(y[i] @ ridge.predict(z[i : i + 1])[0]), abs=1e-4)


def test_what_the_features_carry_is_foretold_and_noise_is_not() -> None:
    pictures, captions = made(400, 3)
    said = pictures[:, 1, 1, 1] > 127
    pictures[:, 1, 1, 1] = 255 * said
    captions[said] = captions[0].clone()
    score = foretold(pictures, captions, flat)
    assert np.quantile(score[said], 0.1) > np.quantile(score[~said], 0.75)
    assert np.allclose(score, foretold(pictures, captions, flat, chunk=7), atol=1e-5)


def test_a_subset_is_learned_from_and_all_are_foretold() -> None:
    pictures, captions = made(600, 4)
    said = pictures[:, 1, 1, 1] > 127
    pictures[:, 1, 1, 1] = 255 * said
    captions[said] = captions[0].clone()
    score = foretold(pictures, captions, flat, max_reference=200)
    others = np.setdiff1d(np.arange(600), drawn(pictures, 200))
    told = score[others]
    assert np.quantile(told[said[others]], 0.1) > np.quantile(told[~said[others]], 0.5)


def test_one_pair_and_wrong_input() -> None:
    pictures, captions = made(3, 0)
    assert np.isfinite(foretold(pictures[:1], captions[:1], flat)).all()
    with pytest.raises(ValueError, match="as many"):
        foretold(pictures, captions[:2], flat)
    with pytest.raises(ValueError, match="penalty"):
        foretold(pictures, captions, flat, penalty=0)
