"""CleanCLIP (Bansal et al., ICCV 2023, arXiv 2303.03323): fine-tune a poisoned model on trusted pairs, so that each
modality is tied to itself anew and the trigger's tie to the target's captions fades.

    L = L_clip(I, T) + w (L_I + L_T) / 2
    L_I = CE(s I1 I2^t),  L_T = CE(s T1 T2^t)        view 1 of each row looks for view 2 among the batch's views 2

The poisoned model is `model.weights`, the trusted pairs are the run's data. What must stay true: gradients flow through
both views, and the logit scale is one for all three losses.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from safeclip.config import RunConfig
from safeclip.data.loader import Recipe
from safeclip.methods.base import Epoch, Method, Objective
from safeclip.methods.clip import clip_objective_loss, one_objective
from safeclip.objective import unimodal_loss


class CleanClip(Method):
    def __init__(self, config: RunConfig, pairs: int, dim: int, decides: bool = True):
        self.config = config
        two_views = Recipe(2, augment=True, eda=config.views.text == "eda")
        self.objectives = {"cleanclip": Objective(two_views, grads=(True, True))}

    def plan(self, epoch: int, usable: np.ndarray) -> Epoch:
        uids = np.flatnonzero(usable)
        return one_objective(self.config, epoch, "finetune", "cleanclip", uids, epochs=self.config.epochs)

    def loss(
        self, objective: str, image: list[Tensor], text: list[Tensor], scale: Tensor, rows: slice | None = None
    ) -> Tensor:
        views = self.config.views.clip_count
        crossmodal = clip_objective_loss(image[:views], text[:views], scale, rows)
        of_image, of_text = (unimodal_loss(side[0], side[1], scale, rows) for side in (image, text))
        return crossmodal + self.config.cleanclip.unimodal_weight * (of_image + of_text) / 2
