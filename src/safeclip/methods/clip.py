"""Plain CLIP (Radford et al. 2021): every epoch reads every pair, and every batch gets the CLIP loss."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from safeclip.config import RunConfig
from safeclip.data.loader import Recipe
from safeclip.data.plan import count_batches, plan
from safeclip.methods.base import Epoch, Objective, Schedule, State, Tools
from safeclip.model.pool import Pool
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


class Clip:
    def __init__(self, config: RunConfig, pairs: int, dim: int, decides: bool = True):
        self.config = config
        self.objectives = {"clip": clip_objective(config)}
        self.pools: dict[str, Pool] = {}
        self.of_first: tuple[str, ...] = ()

    def begin_epoch(self, epoch: int, tools: Tools) -> None:
        """Nothing changes between epochs."""

    def plan(self, epoch: int, usable: np.ndarray) -> Epoch:
        config, uids = self.config, np.flatnonzero(usable)
        steps = config.epochs * count_batches(len(uids), config.optim.batch_size)
        batches = plan(config.seed, epoch, {"clip": uids}, config.optim.batch_size)
        return Epoch("clip", batches, {"clip": Schedule(config.optim.rate, steps)})

    def loss(
        self, objective: str, image: list[Tensor], text: list[Tensor], scale: Tensor, rows: slice | None = None
    ) -> Tensor:
        return clip_objective_loss(image, text, scale, rows)

    def observe(self, objective: str, uids: np.ndarray, image: list[Tensor], text: list[Tensor]) -> None:
        """Plain CLIP keeps nothing."""

    def state_dict(self) -> State:
        return State()

    def load_state_dict(self, state: State) -> None:
        pass
