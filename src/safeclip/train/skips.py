"""Steps not taken because their loss or gradient was not finite: counted, logged with their uids, up to a limit.

A few are chance, as where a half-precision product overflows; many in a row say that the rate is too high or the data
holds something that no step survives.
"""

from __future__ import annotations

import numpy as np

from safeclip.config import OptimConfig
from safeclip.errors import RunError


class Skips:
    """total: of the whole run. in_a_row: since the last step that was taken."""

    def __init__(self, optim: OptimConfig):
        self.optim, self.total, self.in_a_row = optim, 0, 0

    def taken(self) -> None:
        """A step was taken."""
        self.in_a_row = 0

    def add(self, where: str, objective: str, uids: np.ndarray) -> str:
        """A step was skipped; returns the line that says so. Raises RunError where that is one too many."""
        self.total, self.in_a_row = self.total + 1, self.in_a_row + 1
        said = (
            f"{where}: the {objective} loss or its gradient is not finite, step skipped "
            f"({self.in_a_row} in a row, {self.total} in all); uids {', '.join(map(str, uids[:5].tolist()))}, ..."
        )
        for name, found in (("max_nan_in_a_row", self.in_a_row), ("max_nan_steps", self.total)):
            if found > getattr(self.optim, name):
                raise RunError(
                    f"{said}; that is more than optim.{name} = {getattr(self.optim, name)}: "
                    "lower optim.rate, or look at these pairs"
                )
        return said

    def state_dict(self) -> list[int]:
        return [self.total, self.in_a_row]

    def load_state_dict(self, state: list[int]) -> None:
        self.total, self.in_a_row = state
