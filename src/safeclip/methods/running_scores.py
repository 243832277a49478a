"""Scores from the training steps, so that no epoch needs a pass of its own before it splits the data.

What must stay true: no step waits for them, so they come in one step late; a skipped step, whose embeddings are not
finite, changes none.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from torch import Tensor

from safeclip.methods.base import Embeddings
from safeclip.model.later import Later


class RunningScores:
    """A pair's cosine, mean of its views, as the step that last saw it computed it.

    keep: the embeddings too, for signals that compare pairs (mean of the views, unit length, float16).
    """

    def __init__(self, pairs: int, dim: int, keep: bool):
        self.cosine = torch.zeros(pairs)
        self.image = torch.zeros(pairs if keep else 0, dim, dtype=torch.float16)
        self.text = torch.zeros(pairs if keep else 0, dim, dtype=torch.float16)
        self.coming: deque[tuple[Tensor, Later]] = deque()

    def update(self, uids: np.ndarray, image: list[Tensor], text: list[Tensor]) -> None:
        parts = [torch.stack([(i * t).sum(1) for i, t in zip(image, text, strict=True)]).mean(0).float()]
        if len(self.image):
            parts += [torch.nn.functional.normalize(torch.stack(z).mean(0), dim=1).half() for z in (image, text)]
        self.coming.append((torch.from_numpy(uids), Later(*parts)))
        self._arrive(all_but=1)

    def _arrive(self, all_but: int = 0) -> None:
        while len(self.coming) > all_but:
            rows, later = self.coming.popleft()
            parts = later.take()
            known = torch.isfinite(parts[0])  # those of a skipped step are NaN
            for whole, part in zip((self.cosine, self.image, self.text), parts, strict=False):
                whole[rows[known]] = part[known]

    def embeddings(self) -> Embeddings:
        self._arrive()
        return Embeddings(self.image, self.text, self.cosine)

    def state_dict(self) -> dict[str, Tensor]:
        self._arrive()
        return {"cosine": self.cosine, "image": self.image, "text": self.text}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.cosine, self.image, self.text = state["cosine"], state["image"], state["text"]
        self.coming.clear()
