"""The k-th least value, exactly: against sorting."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from safeclip.split import kth_least
from safeclip.split.in_parts import PART


@settings(deadline=None)
@given(
    values=st.sampled_from([np.float32, np.float64]).flatmap(
        lambda kind: arrays(
            kind, st.integers(1, 30), elements=st.floats(allow_nan=False, width=8 * np.dtype(kind).itemsize)
        )
    ),
    data=st.data(),
)
def test_it_is_the_kth_of_the_sorted_values(values: np.ndarray, data: st.DataObject) -> None:
    among = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    some = np.sort(values[among])
    for k in range(len(some)):
        assert kth_least(values, k, among) == some[k]
    with pytest.raises(ValueError, match="kth_least"):
        kth_least(values, len(some), among)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_many_values_are_neither_copied_nor_sorted(kind: type) -> None:
    values = np.random.default_rng(0).normal(0.2, 0.1, 16 * PART + 5).astype(kind)
    k = len(values) // 3
    expected = np.partition(values, k)[k]
    tracemalloc.start()
    assert kth_least(values, k) == expected
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes, f"{peak} bytes for {values.nbytes}"
