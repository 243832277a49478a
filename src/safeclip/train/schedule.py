"""Learning rate, counted in the steps of one schedule: an objective's in its phase, or those that a method joins.

    rate(i) = peak * (i + 1) / w                              i < w, the warm-up's steps
    rate(i) = peak * (1 + cos(pi * (i - w + 1) / (n - w))) / 2   after it; zero at the last step

A schedule of one step runs it at its peak, since at zero it would teach nothing.

The official code counts the absolute epoch's steps and so runs past its schedule's end.
"""

from __future__ import annotations

import math


def rate_at(step: int, steps: int, peak: float, warmup_share: float, constant: bool = False) -> float:
    """Rate of step `step` (from 0) of `steps`. Raises ValueError past the end."""
    if not 0 <= step < steps:
        raise ValueError(f"step {step} of a schedule of {steps} steps: a schedule never runs past its end")
    if constant or steps == 1:
        return peak
    warmup = min(round(warmup_share * steps), steps - 1)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup + 1) / (steps - warmup))) / 2
