"""The learning rate, one step after the other."""

from __future__ import annotations

import math


def rates(steps: int, peak: float, warmup_share: float) -> list[float]:
    """Up in equal strides, the last of them to the peak; then half a turn of a cosine, its last step at zero. One step
    alone runs at the peak."""
    if steps == 1:
        return [peak]
    rising = min(round(warmup_share * steps), steps - 1)
    found = []
    for i in range(steps):
        if i < rising:
            found.append((found[-1] if found else 0.0) + peak / rising)
        else:
            turned = (i - rising + 1) / (steps - rising)
            found.append(peak * 0.5 * (1 + math.cos(math.pi * turned)))
    return found
