"""Masks as bits: there and back, and nothing but what was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeclip.errors import InputError
from safeclip.split import pack, unpack


@given(mask=st.lists(st.booleans(), max_size=70))
def test_a_mask_comes_back_from_an_eighth_of_its_bytes(mask: list[bool]) -> None:
    bits = pack(np.array(mask, bool))
    assert len(bits) == -(-len(mask) // 8)
    assert unpack(bits, len(mask)).tolist() == mask


@pytest.mark.parametrize(
    ("bits", "says"),
    [
        (np.zeros(3, np.uint8), "does not fit 9 pairs"),
        (np.zeros(9, bool), "does not fit 9 pairs"),
        (np.array([0, 0b10], np.uint8), "beyond its 9 pairs"),
    ],
)
def test_bits_of_another_number_of_pairs_are_refused(bits: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        unpack(bits, 9)
