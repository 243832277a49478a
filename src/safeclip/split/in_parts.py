"""A long array walked in parts, so that what is computed on the way stays in the processor's cache, on every core.

What must stay true: the parts cover 0..N once; what a pass allocates does not grow with N; the result does not depend
on the number of cores, since what the cores give are whole numbers to be added up, or parts of one array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from safeclip.cores import wanted_threads

T = TypeVar("T")

PART = 1 << 18
"""Pairs a part: a part as float64 is 2 MiB."""
MOST_CORES = 8
"""More of them wait for the memory."""


def parts(length: int, size: int = PART, start: int = 0) -> Iterator[slice]:
    """Slices of at most `size` that cover start..length.

    >>> list(parts(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for first in range(start, length, size):
        yield slice(first, min(first + size, length))


def cores() -> int:
    """How many cores a pass over a long array takes."""
    return min(wanted_threads(), MOST_CORES)


def on_cores(work: Callable[[Iterator[slice]], T], length: int) -> list[T]:
    """`work` on the parts of each core's share of 0..length, in threads (numpy lets them run side by side)."""
    count = max(1, min(cores(), length // PART))
    edges = [length * core // count for core in range(count + 1)]
    shares = [parts(edges[core + 1], start=edges[core]) for core in range(count)]
    if count == 1:
        return [work(shares[0])]
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, shares))
