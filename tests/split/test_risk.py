"""Ranks and their sum: against counting, and ranks from a histogram against exact ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeclip.errors import RunError
from safeclip.split import histogram, risk, risk_of, safest
from tests.reference import share as slow_share
from tests.split.drawn import draw

signals = st.integers(1, 25).flatmap(
    lambda n: st.dictionaries(
        st.sampled_from(["cosine", "neighbours", "third"]),
        st.lists(st.sampled_from([-0.5, 0.0, -0.0, 0.1, 0.25, 0.5, 0.9]), min_size=n, max_size=n),
        min_size=1,
    )
)


@given(signals=signals)
def test_risk_equals_the_counted_ranks(signals: dict[str, list[float]]) -> None:
    arrays = {name: np.array(values, np.float32) for name, values in signals.items()}
    slowly = {name: values.tolist() for name, values in arrays.items()}
    assert risk_of(arrays) == pytest.approx(slow_share.risk(slowly))


def test_risk_refuses_what_it_cannot_rank() -> None:
    with pytest.raises(RunError, match="neighbours is not finite for 1 pairs"):
        risk_of({"cosine": np.zeros(3), "neighbours": np.array([0, math.nan, 1])})
    with pytest.raises(ValueError, match="shapes"):
        risk_of({"cosine": np.zeros(3), "neighbours": np.zeros(2)})
    with pytest.raises(ValueError, match="one or more"):
        risk_of({})


def test_ranks_from_bins_are_off_by_at_most_half_a_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = {"cosine": draw("overlapping", 300_001), "neighbours": draw("upper narrow", 300_001, 1)}
    signals["neighbours"][:50_000] = 0.0  # many pairs of one value
    signals = {name: values.astype(np.float32) for name, values in signals.items()}
    exact = risk_of(signals)
    monkeypatch.setattr(risk, "RANKED_EXACTLY", 1000)
    monkeypatch.setattr(risk, "RANK_BINS", 1 << 12)
    binned = risk_of(signals)
    assert not np.array_equal(binned, exact), "the bins were used"
    most = sum(histogram(values, 1 << 12).max() for values in signals.values()) / 2 / len(exact)
    assert np.abs(binned.astype(np.float64) - exact).max() <= most + 1e-6
    assert np.mean(np.abs(binned.astype(np.float64) - exact)) < 1e-3
    changed = (safest(binned, 0.4) != safest(exact, 0.4)).mean()
    assert changed < 1e-3, "of the pairs, so few change sides"


@pytest.mark.parametrize("name", ["overlapping", "few risky"])
def test_a_higher_value_never_gets_a_higher_rank_from_bins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk, "RANKED_EXACTLY", 0)
    values = np.sort(np.append(draw(name, 20_000), [-1.0, 1.0, 1.0000001]))
    ranks = risk_of({"cosine": values})
    assert (np.diff(ranks) <= 0).all()
    assert ranks[0] == pytest.approx(1 - 1 / len(values)), "the lowest value has the last rank"
    assert ranks.astype(np.float64).mean() == pytest.approx((len(values) - 1) / 2 / len(values)), "ranks sum up"


def test_bins_rank_cosines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk, "RANKED_EXACTLY", 2)
    with pytest.raises(RunError, match="no cosine"):
        risk_of({"distance": np.array([0.1, 7.0, 0.2])})
