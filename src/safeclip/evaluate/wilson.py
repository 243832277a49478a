"""Wilson's score interval of a share (Wilson 1927): its centre is (k + z^2/2) / (n + z^2), and it stays within 0..1."""

from __future__ import annotations

import math

from safeclip.errors import InputError


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of k hits among n; z = 1.959964 for 95 %. (0, 1) for n = 0. Raises InputError unless 0 <= k <= n."""
    if not 0 <= k <= n:
        raise InputError(f"wilson: k = {k}, n = {n}: give 0 <= k <= n")
    if n == 0:
        return 0.0, 1.0
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)
