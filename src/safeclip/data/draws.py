"""Random numbers without a state: a draw is a hash of what it is for.

    draw(seed, epoch, uid, stream, k) = splitmix64(...) / 2**64

Every augmentation and every choice of a caption reads its numbers here, so that they are the same in every process,
in every order and after every resume. There is nothing to save.
"""

from __future__ import annotations

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def uniforms(seed: int, epoch: int, uids: np.ndarray, stream: int, count: int) -> np.ndarray:
    """`count` draws in [0, 1) for each uid.

    uids: int64 (B,). stream: what the draws are for, a small whole number, such as a view's. Returns (B, count).
    """
    base = _mix_int(_mix_int(_mix_int(seed & _MASK) ^ (epoch & _MASK)) ^ (stream & _MASK))
    rows = _mix(uids.astype(np.uint64) ^ np.uint64(base))
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        bits = _mix(rows[:, None] + steps[None, :])
    draws: np.ndarray = (bits >> np.uint64(11)) * 2.0**-53
    return draws


def shuffled(seed: int, epoch: int, uids: np.ndarray, stream: int) -> np.ndarray:
    """`uids` in a random order that depends on nothing but the arguments; ties, which hardly occur, go by uid."""
    keys = uniforms(seed, epoch, uids, stream, 1)[:, 0]
    ordered: np.ndarray = uids[np.lexsort((uids, keys))]
    return ordered


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea, Flood 2014), elementwise."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(_GOLDEN)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: np.ndarray = x ^ (x >> np.uint64(31))
        return mixed


def _mix_int(x: int) -> int:
    return int(_mix(np.array([x], dtype=np.uint64))[0])
