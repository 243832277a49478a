"""Losses of the steps, read back from the device several at a time: reading one makes the CPU wait for its step.

What must stay true: each is read, in the order of the steps, before anything is written down that follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """objective: its name. batch: index in the epoch's plan. step: of the run, from 1. uids: int64 (B,)."""

    objective: str
    batch: int
    step: int
    uids: np.ndarray


class Losses:
    """Those that nobody has looked at."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Step]] = []

    def add(self, loss: Tensor, step: Step) -> None:
        """loss: a detached scalar, on the device."""
        self._waiting.append((loss, step))

    def take(self) -> list[tuple[float, Step]]:
        """All of them, oldest first, with their steps; NaN for a step that was skipped. None waits any more."""
        waiting, self._waiting = self._waiting, []
        values = torch.stack([loss for loss, _ in waiting]).tolist() if waiting else []
        return list(zip(values, (step for _, step in waiting), strict=True))
