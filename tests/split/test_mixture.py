"""Mixture and cut: against literal loops, against scikit-learn, and the promises over random data."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.errors import RunError
from safeclip.split import (
    BINS,
    Mixture,
    cut_at,
    first_share,
    fit_histogram,
    fit_mixture,
    histogram,
    safest,
    upper_posterior,
)
from tests.reference import mixture as slow
from tests.split.drawn import SHAPES, draw


def same(fitted: Mixture, means, variances, weights, tolerance: float) -> bool:
    pairs = zip(fitted.means + fitted.variances + fitted.weights, (*means, *variances, *weights), strict=True)
    return all(abs(a - b) < tolerance for a, b in pairs)


@pytest.mark.parametrize("shape", SHAPES)
def test_histogram_em_equals_em_over_raw_scores(shape: str) -> None:
    scores = draw(shape, 300)
    means, variances, weights, _ = slow.em(scores.tolist(), tolerance=1e-12, most=400, added=0.0)
    assert same(fit_mixture(scores), means, variances, weights, 1e-3)
    means, variances, weights, steps = slow.em(scores.tolist(), tolerance=1e-3, most=100, added=1e-6)
    fitted = fit_mixture(scores, "paper")
    assert same(fitted, means, variances, weights, 1e-3)
    assert abs(fitted.iterations - steps) <= 1


@pytest.mark.parametrize("fit", ["converged", "paper"])
@pytest.mark.parametrize("shape", SHAPES)
def test_mixture_agrees_with_scikit_learn(shape: str, fit: str) -> None:
    sklearn = pytest.importorskip("sklearn.mixture")
    scores = draw(shape, 20_000)
    options = {"tol": 1e-10, "max_iter": 5000, "reg_covar": 1e-12} if fit == "converged" else {}
    oracle = sklearn.GaussianMixture(2, random_state=0, **options).fit(scores[:, None])
    order = oracle.means_[:, 0].argsort()
    theirs = [part[order].ravel() for part in (oracle.means_, oracle.covariances_, oracle.weights_)]
    # The default start of theirs, one run of k-means, may stop a little off the best cut, and tol 1e-3 keeps the gap.
    assert same(fit_mixture(scores, fit), *theirs, 1e-3 if fit == "converged" else 1e-2)


def test_histograms_of_parts_add_up_so_that_ranks_agree() -> None:
    scores = draw("overlapping", 10_001)
    parts = sum(histogram(part) for part in np.array_split(scores, 7))
    assert np.array_equal(parts, histogram(scores))
    assert fit_histogram(parts) == fit_mixture(scores)
    assert histogram(np.array([-1.0, 1.0, 1.0000001])).tolist() == [1] + [0] * (BINS - 2) + [2]


def test_ten_million_scores_fit_in_a_second() -> None:
    scores = draw("overlapping", 10_000_000).astype(np.float32)
    start = time.process_time()
    counts = histogram(scores)
    fit_histogram(counts)
    assert time.process_time() - start < 1.0
    start = time.process_time()
    assert fit_histogram(40 * counts).means == pytest.approx(fit_histogram(counts).means, abs=1e-9)
    assert time.process_time() - start < 1.0, "400 million scores cost what the bins cost"


@pytest.mark.parametrize("fit", ["converged", "paper"])
@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([0.3] * 50, r"all 50 similarities are 0\.3000.*align_epochs"),
        ([0.3], "at least 2"),
        ([], "at least 2"),
        ([0.3, math.nan], r"1 similarities are NaN.*optim\.rate"),
        ([0.3, 1.5], "unit length"),
        ([0.3, -math.inf], "unit length"),
    ],
)
def test_scores_that_cannot_be_split_say_what_to_change(scores: list[float], says: str, fit: str) -> None:
    with pytest.raises(RunError, match=says):
        fit_mixture(np.array(scores), fit)


@pytest.mark.parametrize("fit", ["converged", "paper"])
@pytest.mark.parametrize("scores", [[0.1, 0.2], [0.1] * 99 + [0.9], [0.1, 0.1001, 0.1002], [-1.0, 1.0]])
def test_scarce_scores_give_a_finite_mixture(scores: list[float], fit: str) -> None:
    fitted = fit_mixture(np.array(scores), fit)
    assert np.isfinite(fitted.means + fitted.variances + fitted.weights).all()
    assert min(fitted.variances) > 0
    assert fitted.means[0] <= fitted.means[1]
    assert sum(fitted.weights) == pytest.approx(1)


mixtures = st.builds(
    lambda m, d, s, r, w: Mixture((m, m + d), (s * s, (s * r) ** 2), (w, 1 - w), 1),
    st.floats(-0.3, 0.3),
    st.floats(0.0, 0.6),
    st.floats(0.02, 0.2),
    st.floats(0.4, 2.5),
    st.floats(0.02, 0.98),
)


@settings(max_examples=50, deadline=None)
@given(mixture=mixtures, posterior=st.floats(0.05, 0.99))
def test_cut_is_where_a_walk_up_from_the_lower_mean_first_meets_the_posterior(
    mixture: Mixture, posterior: float
) -> None:
    cut = cut_at(mixture, posterior)
    walked = slow.cut(mixture.means, mixture.variances, mixture.weights, posterior, step=1e-3)
    if math.isinf(walked):
        # A walk in steps can miss a peak that only just touches the posterior.
        missed = slow.posterior(min(cut, 9) + 2e-3, mixture.means, mixture.variances, mixture.weights) < posterior
        assert math.isinf(cut) or cut > mixture.means[0] + 2.4 or missed
    else:
        assert cut == pytest.approx(walked, abs=1.1e-3)


@settings(max_examples=150, deadline=None)
@given(mixture=mixtures, posterior=st.floats(0.05, 0.99), seed=st.integers(0, 99))
def test_the_first_split_is_monotone_where_the_posterior_is_not(mixture: Mixture, posterior: float, seed: int) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, 200)
    cut = cut_at(mixture, posterior)
    share, _, _ = first_share(mixture, scores, posterior, share_min=0.02, share_max=0.98)
    chosen = safest(-scores, share)
    assert scores[chosen].min() >= scores[~chosen].max(), "the most similar pairs"
    safe = scores >= cut
    if math.isfinite(cut):
        own = upper_posterior(mixture, scores)
        between = safe & (scores <= max(mixture.means[1], cut))
        assert (own[between] >= posterior - 1e-9).all(), "from the cut to the upper mean the posterior holds"
        inside = ~safe & (scores >= mixture.means[0])
        assert (own[inside] < posterior + 1e-9).all(), "no lower cut would do"


def test_both_tails_of_bug_6_are_mended() -> None:
    wide = Mixture((0.08, 0.32), (0.06**2, 0.12**2), (0.65, 0.35), 1)
    assert upper_posterior(wide, np.array([-0.3]))[0] >= 0.9, "the least similar pairs look safe to the posterior"
    assert cut_at(wide, 0.9) == pytest.approx(0.2433, abs=1e-3)
    narrow = Mixture((0.08, 0.32), (0.10**2, 0.07**2), (0.65, 0.35), 1)
    assert upper_posterior(narrow, np.array([0.95]))[0] < 0.9, "the most similar pairs look risky to the posterior"
    assert cut_at(narrow, 0.9) == pytest.approx(0.3031, abs=1e-3)


def test_cut_of_certainties() -> None:
    mixture = Mixture((0.0, 0.4), (0.01, 0.01), (0.5, 0.5), 1)
    assert cut_at(mixture, 0.0) == 0.0
    assert cut_at(mixture, 1.0) == math.inf
    assert cut_at(mixture, 0.5) == pytest.approx(0.2)
    assert cut_at(Mixture((0.1, 0.1), (0.01, 0.01), (0.5, 0.5), 1), 0.9) == math.inf
    assert cut_at(Mixture((0.1, 0.2), (0.01, 0.01), (1e-9, 1.0), 1), 0.9) == 0.1


def test_upper_posterior_is_finite_far_out() -> None:
    mixture = Mixture((0.0, 0.01), (1e-8, 1e-6), (0.5, 0.5), 1)
    values = upper_posterior(mixture, np.array([-1.0, 0.0, 1.0]))
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()
