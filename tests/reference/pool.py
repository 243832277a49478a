"""The pool as a list: append one embedding at a time, drop the oldest."""

from __future__ import annotations

import math

import numpy as np


class ListPool:
    def __init__(self, size: int):
        self.size = size
        self.items: list[np.ndarray] = []
        self.was_full = False

    def nearest(self, z: np.ndarray) -> np.ndarray:
        if not self.was_full:
            return z.copy()
        found = []
        for row in z:
            cosines = [float(row @ item) / (np.linalg.norm(row) * np.linalg.norm(item)) for item in self.items]
            found.append(self.items[cosines.index(max(cosines))])
        return np.stack(found)

    def enqueue(self, z: np.ndarray) -> None:
        for row in z:
            length = math.sqrt(sum(float(x) ** 2 for x in row)) if np.isfinite(row).all() else 0.0
            if length == 0:
                continue
            if self.size == 0:
                continue
            self.items.append(row / length)
            if len(self.items) > self.size:
                self.items.pop(0)
            self.was_full = self.was_full or len(self.items) == self.size
