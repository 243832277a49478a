"""RoCLIP, a step at a time, with a list for its pool."""

from __future__ import annotations

import numpy as np

from tests.reference.losses import clip_loss, clip_loss_crossed
from tests.reference.pool import ListPool


class SlowRoclip:
    def __init__(self, every: int, first: int, pool_size: int):
        self.every, self.first, self.captions = every, first, ListPool(pool_size)

    def step(self, epoch: int, image: list[np.ndarray], text: list[np.ndarray], scale: float) -> float:
        """Loss of one batch of `epoch`; image, text: an array for each view. Then its captions enter the pool."""
        if epoch >= self.first and epoch % self.every == 0 and self.captions.was_full:
            losses = [clip_loss(view, self.captions.nearest(view), scale) for view in image]
            loss = sum(losses) / len(losses)
        elif len(image) == 2:
            loss = clip_loss_crossed(image[0], text[0], image[1], text[1], scale)
        else:
            loss = clip_loss(image[0], text[0], scale)
        self.captions.enqueue(text[0])
        return loss
