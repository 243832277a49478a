"""A mask of pairs as bits: how checkpoints keep it.

    byte i = sum over j of mask[8 i + j] * 2^j

What must stay true: an eighth of a byte a pair, and only what `pack` could have written is read back.
"""

from __future__ import annotations

import numpy as np

from safeclip.errors import InputError


def pack(mask_N: np.ndarray) -> np.ndarray:
    """bool (N,) -> uint8 (ceil(N / 8),).

    >>> pack(np.array([True, False, True] + 6 * [False])).tolist()
    [5, 0]
    """
    return np.packbits(mask_N, bitorder="little")


def unpack(bits: np.ndarray, length: int) -> np.ndarray:
    """The mask of `length` pairs, bool (N,). Raises InputError where the bits are of another number of pairs."""
    if bits.dtype != np.uint8 or bits.shape != ((length + 7) // 8,):
        raise InputError(f"mask of {bits.dtype} {bits.shape} does not fit {length} pairs; it is of other data")
    bool_8 = np.unpackbits(bits, bitorder="little")
    if bool_8[length:].any():
        raise InputError(f"mask has bits beyond its {length} pairs; it is damaged or of other data")
    return bool_8[:length].view(bool)
