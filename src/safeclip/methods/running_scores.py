"""Scores from the training steps, so that no epoch needs a pass of its own before it splits the data.

What must stay true: no step waits for them, so they come in one step late; a skipped step, whose embeddings are not
finite, changes none. They lie in memory that forked data workers share, or each would come to keep a copy of what it
was when they were forked.
"""

from __future__ import annotations

import math
import mmap
from collections import deque

import numpy as np
import torch
from torch import Tensor

from safeclip.errors import InputError
from safeclip.methods.base import Embeddings
from safeclip.model.later import Later


class RunningScores:
    """A pair's cosine, mean of its views, as the step that last saw it computed it.

    keep: the embeddings too, for signals that compare pairs (mean of the views, unit length, float16).
    """

    def __init__(self, pairs: int, dim: int, keep: bool):
        self.cosine = _shared((pairs,), torch.float32)
        self.image, self.text = (_shared((pairs if keep else 0, dim), torch.float16) for _ in range(2))
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
        """Raises InputError where the state has no embeddings and they are kept, or the other way round."""
        own = self.state_dict()
        if any(state[name].shape != whole.shape for name, whole in own.items()):
            raise InputError("safeclip.risk is not as the checkpoint has it; set config.yaml back")
        for name, whole in own.items():
            whole.copy_(state[name])
        self.coming.clear()


def _shared(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros, in anonymous memory, which takes no room in /dev/shm."""
    count = math.prod(shape)
    buffer = mmap.mmap(-1, max(1, count * dtype.itemsize))
    return torch.frombuffer(buffer, dtype=dtype, count=count).view(shape) if count else torch.zeros(shape, dtype=dtype)
