"""How often a picture occurs. Targeted poisoning plants one picture many times, each time under another caption.

    hash bit_i = [ c_i > 0 ],  c = the 64 lowest frequencies, without the mean, of the DCT of the 32 x 32 grey picture
    copies     = connected components of { hashes within max_distance bits }

What must stay true: identical pictures always share a group, and different pictures without detail do not. The DCT of a
flat picture is rounding noise, so where too few frequencies stand out the hash is a digest of the very pixels instead.

Why 4 bits: of pictures saved anew as JPEG at quality 70 nearly all stay within 4 bits of what they were, and hardly any
two distinct ones come that close, be they photographs or emoji. A crop of 2 % at each side moves half of them further;
what was cropped more is for `renderings`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

_SIDE = 32
"""Side of the grey picture that is transformed."""
_SAMPLES = 4 * _SIDE
"""Larger pictures are thinned to at least this many samples along the shorter side before averaging."""
_LONGEST = 4096
"""And a side to about this many: a picture of one pixel by a million is a small file."""
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_STANDS_OUT = 0.5
"""Amplitude, in grey levels of 255, from which a frequency is more than rounding."""
_DETAIL = 16
"""Frequencies of the 64 that have to stand out."""
_BUCKET = 1024
"""Neighbours in sort order that each hash of one bucket is compared with."""

_MANY = 2**24
"""Distinct hashes from which three blocks have to agree, no longer two: more sorting, far fewer comparisons, which
grow with the square."""


def perceptual_hashes(images: Sequence[np.ndarray]) -> np.ndarray:
    """64-bit hash of each picture, uint8 RGB (H, W, 3) of any size: uint64 (N,), never 0. A copy's is equal or differs
    in a few bits.

    Raises:
        ValueError: a picture is not uint8 (H, W, 3), or has no pixels.

    >>> picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    >>> one, other = perceptual_hashes([picture, picture.copy()])
    >>> bool(one == other)
    True
    """
    coefficients = np.empty((len(images), 64), np.float32)
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"perceptual_hashes: picture {i} is {image.dtype} {image.shape}; give uint8 (H, W, 3)")
        coefficients[i] = _low_frequencies(image)
    bits = np.packbits(coefficients > 0, axis=1)
    hashes: np.ndarray = bits.view("<u8").reshape(-1).astype(np.uint64)
    for i in np.flatnonzero((np.abs(coefficients) >= _STANDS_OUT).sum(1) < _DETAIL).tolist():
        digest = hashlib.blake2b(repr(images[i].shape).encode() + images[i].tobytes(), digest_size=8).digest()
        hashes[i] = int.from_bytes(digest, "little")
    hashes[hashes == 0] = 1
    return hashes


def copy_groups(
    hashes_N: np.ndarray,
    max_distance: int = 4,
) -> np.ndarray:
    """Group ids int64 (N,), dense, in order of first occurrence: pairs of one id show copies of one picture.

    hashes_N: uint64; 0 stands for no picture and is a group of its own. max_distance: bits in which copies may differ.
    Time grows little faster than N (1M hashes: seconds).

    Raises:
        ValueError: max_distance is not within 0..62.

    >>> copy_groups(np.array([7, 1 << 40, 7, 3], np.uint64), max_distance=1).tolist()
    [0, 1, 0, 0]
    """
    hashes_N = np.asarray(hashes_N, np.uint64)
    if not 0 <= max_distance <= 62:
        raise ValueError(f"copy_groups: max_distance = {max_distance}; give 0 to 62 bits")
    hash_U, unique_N = np.unique(hashes_N, return_inverse=True)
    first = int(len(hash_U) > 0 and hash_U[0] == 0)  # no picture is near to none
    edges = ((one + first, other + first) for one, other in _near_hashes(hash_U[first:], max_distance))
    label_U = _joined(len(hash_U), edges)
    label_N = label_U[unique_N.reshape(-1)]
    none = np.flatnonzero(hashes_N == 0)
    label_N[none] = len(hash_U) + np.arange(len(none))
    _, first_G, group_N = np.unique(label_N, return_index=True, return_inverse=True)
    place_G = np.empty(len(first_G), np.int64)
    place_G[np.argsort(first_G)] = np.arange(len(first_G))
    return place_G[group_N.reshape(-1)]


def occurrences(groups_N: np.ndarray) -> np.ndarray:
    """How many pairs share each pair's group, itself counted, int64 (N,).

    >>> occurrences(np.array([0, 1, 0])).tolist()
    [2, 1, 2]
    """
    _, group_N, count_G = np.unique(groups_N, return_inverse=True, return_counts=True)
    count_N: np.ndarray = count_G[group_N.reshape(-1)].astype(np.int64)
    return count_N


def _low_frequencies(image_HWC: np.ndarray) -> np.ndarray:
    """Amplitudes (64,) of the lowest frequencies but the mean, in grey levels."""
    step = max(1, min(image_HWC.shape[:2]) // _SAMPLES)
    down, along = (max(step, side // _LONGEST) for side in image_HWC.shape[:2])
    thin = image_HWC[::down, ::along]
    height, width = thin.shape[:2]
    rows = _transform(height) @ thin.reshape(height, width * 3).astype(np.float32)
    grey = rows.reshape(len(rows), width, 3) @ _GREY
    row, column = _zigzag()
    amplitudes: np.ndarray = (grey @ _transform(width).T)[row, column]
    return amplitudes


@functools.lru_cache(maxsize=256)
def _transform(length: int) -> np.ndarray:
    """Average `length` samples into 32, then DCT-II, the lowest 11 frequencies: (11, length)."""
    edges = np.arange(_SIDE + 1) * length / _SIDE
    sample = np.arange(length)
    overlap = np.minimum(edges[1:, None], sample + 1) - np.maximum(edges[:-1, None], sample)
    average = np.maximum(overlap, 0) * _SIDE / length
    angle = np.pi / _SIDE * np.arange(11)[:, None] * (np.arange(_SIDE) + 0.5)
    transform: np.ndarray = (np.cos(angle) @ average * (2 / _SIDE)).astype(np.float32)
    return transform


@functools.lru_cache(maxsize=1)
def _zigzag() -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the 64 lowest frequencies after the mean, from the lowest up."""
    cells = sorted(itertools.product(range(11), repeat=2), key=lambda cell: (sum(cell), max(cell), cell))
    row, column = np.array(cells[1:65]).T
    return row, column


def _near_hashes(hash_U: np.ndarray, max_distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Edges between distinct hashes within `max_distance` bits. Of max_distance + 2 blocks of bits two must agree, of
    one more three (pigeonhole), so only hashes equal in those are compared. In a bucket of more than _BUCKET hashes
    those far apart in sort order are not: so many distinct hashes of one kind would be planted, and must not stall the
    run."""
    if max_distance == 0 or len(hash_U) < 2:
        return
    agree = 2 if len(hash_U) < _MANY else 3
    step = min(max_distance + agree, 64)
    blocks = [sum(1 << bit for bit in range(start, 64, step)) for start in range(step)]
    for equal in itertools.combinations(blocks, step - max_distance):
        key = hash_U & np.uint64(sum(equal))
        order = np.argsort(key, kind="stable")
        key, value = key[order], hash_U[order]
        start = np.arange(len(key) - 1)
        for offset in range(1, _BUCKET):
            start = start[start + offset < len(key)]
            start = start[key[start] == key[start + offset]]
            if len(start) == 0:
                break
            near = start[_bits(value[start] ^ value[start + offset]) <= max_distance]
            if len(near):
                yield order[near], order[near + offset]


def _joined(count: int, edges: Iterator[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Of each of `count` the least that edges connect it with. Union-find over arrays: the larger root hangs below the
    smaller until no edge crosses. There may be far more edges than room for them, so none is kept."""
    label = np.arange(count)
    for one, other in edges:
        while len(one):
            ends = _root(label, one), _root(label, other)
            low, high = np.minimum(*ends), np.maximum(*ends)
            apart = low < high
            np.minimum.at(label, high[apart], low[apart])
            one, other = one[apart], other[apart]
    return _root(label, np.arange(count))


def _root(label: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Roots of these. The paths to them are halved on the way, or a long chain would be climbed link by link."""
    root: np.ndarray = label[of]
    while not np.array_equal(root, further := label[root]):
        further = label[further]
        label[root] = further
        root = further
    label[of] = root
    return root


def _bits(x: np.ndarray) -> np.ndarray:
    """Number of set bits of each uint64."""
    m1, m2, m4 = (np.uint64(m) for m in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    x = x - ((x >> np.uint64(1)) & m1)
    x = (x & m2) + ((x >> np.uint64(2)) & m2)
    x = (x + (x >> np.uint64(4))) & m4
    count: np.ndarray = (x * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return count
