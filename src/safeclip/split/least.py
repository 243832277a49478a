"""The k-th least of many numbers, exactly, without sorting or copying them: radix selection.

    key(x) = the bits of x, turned so that they order as whole numbers        (IEEE 754: sign and magnitude)
    digit by digit from the top, 16 bits each: count the digit among the keys that begin as those chosen so far,
    and choose the one in which the count passes k

Two passes for float32, four for float64. What must stay true: the value returned is one of those given, whatever their
distribution; memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from safeclip.split.in_parts import on_cores

_DIGIT = 16


def kth_least(values_N: np.ndarray, k: int, among_N: np.ndarray | None = None) -> float:
    """The value with k others below it in sorted order, k from 0. values_N: float32 or float64, none NaN.

    among_N: bool, the values to choose from; None is all of them.
    Raises ValueError where there are no more than k.

    >>> kth_least(np.array([0.5, -2.0, 0.25, 0.5]), 2)
    0.5
    """
    width = 8 * values_N.dtype.itemsize
    chosen = 0
    for shift in range(width - _DIGIT, -1, -_DIGIT):
        counts = np.sum(on_cores(partial(_count, values_N, among_N, shift, chosen), len(values_N)), axis=0)
        total = np.cumsum(counts)
        if not 0 <= k < total[-1]:
            raise ValueError(f"kth_least: k = {k} of {total[-1]} values")
        digit = int(np.searchsorted(total, k, side="right"))
        k -= int(total[digit] - counts[digit])
        chosen = chosen << _DIGIT | digit
    top = 1 << (width - 1)
    bits = chosen ^ top if chosen & top else chosen ^ (2 * top - 1)
    return float(np.array(bits, f"u{width // 8}").view(values_N.dtype))


def _count(
    values_N: np.ndarray, among_N: np.ndarray | None, shift: int, chosen: int, some: Iterator[slice]
) -> np.ndarray:
    """How often each digit, `shift` bits up, occurs in the keys of these parts that begin with the digits chosen."""
    counts = np.zeros(1 << _DIGIT, np.int64)
    for part in some:
        digits = _keys(values_N[part] if among_N is None else values_N[part][among_N[part]])
        digits >>= np.array(shift, digits.dtype)
        if shift + _DIGIT < 8 * digits.itemsize:
            digits = digits[digits >> np.array(_DIGIT, digits.dtype) == chosen]
        counts += np.bincount(
            (digits & np.array((1 << _DIGIT) - 1, digits.dtype)).astype(np.int64), minlength=len(counts)
        )
    return counts


def _keys(values: np.ndarray) -> np.ndarray:
    """Order-preserving whole numbers: negative numbers have all bits turned, the others the sign."""
    whole = np.dtype(f"u{values.dtype.itemsize}")
    last = np.array(8 * whole.itemsize - 1, whole)
    bits = np.ascontiguousarray(values).view(whole)
    sign = bits >> last
    keys: np.ndarray = bits ^ ((np.zeros_like(sign) - sign) | np.array(1 << int(last), whole))
    return keys
