"""Plain CLIP (Radford et al. 2021): every epoch reads every pair, and every batch gets the CLIP loss."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from safeclip.config import RunConfig
from safeclip.data.loader import Recipe
from safeclip.data.plan import count_batches, plan
from safeclip.methods.base import Epoch, Method, Objective, Schedule
from safeclip.objective import clip_loss, clip_loss_crossed


def clip_objective(config: RunConfig) -> Objective:
    """The CLIP loss and the views it sees, the same for every method."""
    views = config.views
    recipe = Recipe(views.clip_count, augment=views.clip_views == "augmented", eda=views.clip_text == "eda")
    return Objective(recipe, grads=(True,) * views.clip_count)


def clip_objective_loss(image: list[Tensor], text: list[Tensor], scale: Tensor, rows: slice | None) -> Tensor:
    """One view: the symmetric loss. Two views: crossed (as in the official code). rows: as for `Method.loss`."""
    if len(image) == 1:
        return clip_loss(image[0], text[0], scale, rows)
    return clip_loss_crossed(image[0], text[0], image[1], text[1], scale, rows)


def one_objective(
    config: RunConfig,
    epoch: int,
    phase: str,
    objective: str,
    uids: np.ndarray,
    *,
    epochs: int,
    rate: float | None = None,
    shared: str | None = None,
) -> Epoch:
    """An epoch in which all these pairs get one objective. epochs: those like it, over which its schedule runs. rate:
    None is that of the CLIP loss. shared: as for `Schedule`."""
    optim = config.optim
    batches = plan(config.seed, epoch, {objective: uids}, optim.batch_size)
    steps = epochs * count_batches(len(uids), optim.batch_size)
    return Epoch(phase, batches, {objective: Schedule(rate or optim.rate, steps, shared=shared)})


class PlainClip(Method):
    def __init__(self, config: RunConfig, pairs: int, dim: int, decides: bool = True):
        self.config = config
        self.objectives = {"clip": clip_objective(config)}

    def plan(self, epoch: int, usable: np.ndarray) -> Epoch:
        return one_objective(self.config, epoch, "clip", "clip", np.flatnonzero(usable), epochs=self.config.epochs)

    def loss(
        self, objective: str, image: list[Tensor], text: list[Tensor], scale: Tensor, rows: slice | None = None
    ) -> Tensor:
        return clip_objective_loss(image, text, scale, rows)
