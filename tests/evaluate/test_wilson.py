from __future__ import annotations

import pytest

from safeclip.errors import InputError
from safeclip.evaluate.wilson import wilson


@pytest.mark.parametrize(("k", "n"), [(0, 16), (1, 16), (15, 16), (16, 16), (7, 300), (50, 100), (1, 1), (123, 456)])
def test_matches_scipy(k, n):
    binomtest = pytest.importorskip("scipy.stats").binomtest
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_known_values():
    assert wilson(0, 16) == pytest.approx((0.0, 0.193611), abs=1e-5)
    assert wilson(16, 16)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(2, 1), (-1, 3)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(InputError):
        wilson(k, n)
