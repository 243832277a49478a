"""RoCLIP (Yang and Mirzasoleiman, NeurIPS 2023, arXiv 2303.06854): every few epochs a picture is matched with the
caption of a pool that is most similar to the picture, instead of its own.

    most epochs       L_clip(I, T)                                     plain CLIP
    matching epochs   L_clip(I, NN(I)),  NN(I_i) = argmax over the pool's captions q of <I_i, q>
    after each step   the batch's captions go into the pool (FIFO), detached

What must stay true: a picture is matched before its own caption enters the pool, so that a planted pair meets again
only by way of the pool's chance; views, batches and rates are plain CLIP's to the last step.

Pool captions carry no gradient: in a matching epoch the image tower and the logit scale learn, the text tower rests.
Both directions of the loss are kept, so a matched caption also looks for its picture in the batch. Matching captions
with pictures of a pool, as the paper's first version did, is not in the published method.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.config import RunConfig
from safeclip.errors import InputError
from safeclip.methods.base import Epoch, Method, State, Tools
from safeclip.methods.clip import clip_objective, clip_objective_loss, one_objective
from safeclip.model.pool import Pool
from safeclip.objective import clip_loss


class RoClip(Method):
    def __init__(self, config: RunConfig, pairs: int, dim: int, decides: bool = True):
        own = config.roclip
        size = own.pool(pairs)
        if size < 1:
            raise InputError(
                f"roclip.pool_share = {own.pool_share}: of {pairs} pairs that is no caption; give roclip.pool_size"
            )
        self.config = config
        self.pools = {"text": Pool(size, dim)}
        both = clip_objective(config)
        self.objectives = {"clip": both, "match": both}

    def begin_epoch(self, epoch: int, tools: Tools) -> None:
        if self.config.roclip.matches(epoch) and not self.pools["text"].filled:
            tools.note("the pool has not been full yet: batches get their own captions until it is (roclip.pool_size)")

    def plan(self, epoch: int, usable: np.ndarray) -> Epoch:
        name, uids = "match" if self.config.roclip.matches(epoch) else "clip", np.flatnonzero(usable)
        return one_objective(self.config, epoch, name, name, uids, epochs=self.config.epochs, shared="clip")

    def loss(
        self, objective: str, image: list[Tensor], text: list[Tensor], scale: Tensor, rows: slice | None = None
    ) -> Tensor:
        pool = self.pools["text"]
        if objective == "clip" or not pool.filled:
            return clip_objective_loss(image, text, scale, rows)
        return torch.stack([clip_loss(view, pool.nearest(view), scale, rows) for view in image]).mean()

    def observe(self, objective: str, uids: np.ndarray, image: list[Tensor], text: list[Tensor]) -> None:
        self.pools["text"].enqueue(text[0])

    def state_dict(self) -> State:
        return State({f"pool.{key}": value for key, value in self.pools["text"].state_dict().items()})

    def load_state_dict(self, state: State) -> None:
        self.pools["text"].load_state_dict({key.removeprefix("pool."): t for key, t in state.tensors.items()})
