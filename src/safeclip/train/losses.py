"""Losses of the steps, read back from the device several at a time: reading one makes the CPU wait for its step.

What must stay true: each is read, in the order of the steps, before anything is written down that follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.config import OptimConfig
from safeclip.train.skips import Skips


@dataclass(frozen=True)
class Step:
    """objective: its name. batch: index in the epoch's plan. step: of the run, from 1. uids: int64 (B,)."""

    objective: str
    epoch: int
    batch: int
    step: int
    uids: np.ndarray


class Losses:
    """Their sums over an epoch, and the steps that were skipped.

    log: takes the record of a skipped step. warn: takes the line that says so.
    """

    def __init__(self, optim: OptimConfig, log: Callable[[dict[str, Any]], None], warn: Callable[[str], None]):
        self.log, self.warn, self.skips = log, warn, Skips(optim)
        self.sums: dict[str, list[float]] = {}
        self._waiting: list[tuple[Tensor, Step]] = []

    def begin_epoch(self) -> None:
        self.sums = {}

    def add(self, loss: Tensor, step: Step) -> None:
        """loss: a detached scalar, on the device; NaN for a step that was skipped."""
        self._waiting.append((loss, step))

    def settle(self) -> float:
        """Read what waits. The newest of them, NaN where there is none or its step was skipped. Raises RunError where
        too many were."""
        waiting, self._waiting = self._waiting, []
        values = torch.stack([loss for loss, _ in waiting]).tolist() if waiting else []
        for value, (_, step) in zip(values, waiting, strict=True):
            if math.isfinite(value):
                self.skips.taken()
                total = self.sums.setdefault(step.objective, [0.0, 0])
                total[0], total[1] = total[0] + value, total[1] + 1
            else:
                self._skip(step)
        return values[-1] if values else math.nan

    def means(self) -> dict[str, float]:
        """Objective -> mean loss so far in this epoch, of the steps that were read."""
        return {name: total / count for name, (total, count) in self.sums.items()}

    def __str__(self) -> str:
        """For the progress line."""
        return "".join(f"  {name} {mean:.3f}" for name, mean in self.means().items())

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "skips": self.skips.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = {name: list(total) for name, total in state["sums"].items()}
        self.skips.load_state_dict(state["skips"])

    def _skip(self, step: Step) -> None:
        where = {"event": "skip", "epoch": step.epoch, "step": step.step, "batch": step.batch}
        self.log(where | {"objective": step.objective, "uids": step.uids.tolist()})
        self.warn(self.skips.add(f"epoch {step.epoch}, batch {step.batch}", step.objective, step.uids))
