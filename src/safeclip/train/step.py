"""One optimizer step: views through the towers, the method's loss, gradients, update.

With `accumulate` > 1 a batch runs in parts and still gets the contrastive loss of the whole batch: embeddings are
cached without gradients, the loss is differentiated with respect to them, and each part runs again to carry that
gradient into the towers (Gao et al. 2021, GradCache).

What must stay true: a step whose loss or gradient is not finite leaves no trace in weights, moments, norms or pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safeclip.config import RunConfig
from safeclip.data.image_views import colour
from safeclip.data.loader import Inputs
from safeclip.methods.base import Method
from safeclip.model.build import MAX_LOGIT_SCALE, Clip, decay_groups
from safeclip.model.precision import Precision, autocast
from safeclip.train import distributed


class Stepper:
    """Holds the optimizer; everything else is borrowed. Call it once a batch."""

    def __init__(self, clip: Clip, method: Method, config: RunConfig, precision: Precision, device: torch.device):
        self.clip, self.method, self.config, self.precision, self.device = clip, method, config, precision, device
        optim = config.optim
        self.towers = distributed.engine(Towers(clip.net, precision, device), config.model.shard)
        self.parameters = [p for p in clip.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            decay_groups(clip.net, optim.weight_decay), lr=optim.rate, betas=optim.betas, eps=optim.eps, fused=True
        )

    def __call__(
        self, inputs: Inputs, rate: float, slices: list[np.ndarray] | None = None, accumulate: int | None = None
    ) -> Tensor:
        """Train on one batch at this rate. Returns the loss, a detached scalar still on the device; NaN where the step
        was skipped, for a loss or gradient that is not finite.

        slices: uids of each rank's slice of the batch, where `inputs` is one of them (distributed.meet).
        accumulate: parts to compute the batch in, instead of the config's.
        """
        slices = [inputs.uids] if slices is None else slices
        counts = [len(uids) for uids in slices]
        net, objective = self.clip.net, self.method.objectives[inputs.objective]
        net.train()
        buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]  # of the norms; a few MB at most
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = torch.arange(len(inputs.uids))
        parts = rows.tensor_split(min(accumulate or self.config.optim.accumulate, *counts))  # as many on every rank
        if len(parts) == 1:
            image, text = distributed.gather(*self._embed(inputs, rows, objective.grads), counts)
            loss = self.method.loss(inputs.objective, image, text, net.logit_scale.exp())
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            image, text, loss = self._in_parts(inputs, parts, objective.grads, counts)
        distributed.drop_unread(net, image, text)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.config.optim.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.config.optim.clip_norm, norm)
        finite = torch.isfinite(loss.detach() + distributed.plain(norm))
        self.optimizer.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]  # fused AdamW skips on the device
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            net.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)
        if not finite:
            for buffer, before in buffers:
                buffer.copy_(before)
            return torch.full_like(loss.detach(), float("nan"))
        uids = np.concatenate(slices)
        self.method.observe(inputs.objective, uids, [e.detach() for e in image], [e.detach() for e in text])
        return loss.detach()

    def _in_parts(
        self, inputs: Inputs, parts: Sequence[Tensor], grads: tuple[bool, ...], counts: list[int]
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        none = (False,) * len(grads)
        cached = [self._embed(inputs, part, none) for part in parts]
        leaves = [
            [torch.cat([c[side][v] for c in cached]).requires_grad_(grads[v]) for v in range(len(grads))]
            for side in (0, 1)
        ]
        image, text = distributed.gather(leaves[0], leaves[1], counts)
        loss = self.method.loss(inputs.objective, image, text, self.clip.net.logit_scale.exp())
        loss.backward()  # type: ignore[no-untyped-call]
        for i, part in enumerate(parts):
            with distributed.last_of(self.towers, i + 1 == len(parts)):
                again = self._embed(inputs, part, grads)
                pairs = [
                    (e, leaf.grad[part])
                    for new, old in zip(again, leaves, strict=True)
                    for e, leaf in zip(new, old, strict=True)
                    if leaf.grad is not None
                ]
                torch.autograd.backward([e for e, _ in pairs], [g for _, g in pairs])
        return image, text, loss

    def _embed(self, inputs: Inputs, rows: Tensor, grads: tuple[bool, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """A unit embedding (b, D) of each of `rows`, per view and modality."""
        pixels, tokens = [], []
        whole = len(rows) == len(inputs.uids)
        for v in range(len(grads)):
            pictures, words = inputs.images[v], inputs.tokens[v]
            draws = None if inputs.colour is None else inputs.colour[v]
            if not whole:
                pictures, words, draws = pictures[rows], words[rows], None if draws is None else draws[rows]
            draws = None if draws is None else draws.to(self.device, non_blocking=True)
            pixels.append(
                colour(
                    pictures.to(self.device, non_blocking=True), draws, self.config.views, self.clip.mean, self.clip.std
                )
            )
            tokens.append(words.to(self.device, non_blocking=True))
        image, text = self.towers(pixels, tokens, grads)
        return image, text


class Towers(nn.Module):
    """All views of a batch through both towers: the module that ranks share the gradients of."""

    def __init__(self, net: nn.Module, precision: Precision, device: torch.device):
        super().__init__()
        self.net, self.precision, self.device = net, precision, device

    def forward(
        self, pixels: list[Tensor], tokens: list[Tensor], grads: tuple[bool, ...]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """pixels: (b, 3, S, S) and tokens: int64 (b, context), of each view. Unit embeddings, float32 (b, D)."""
        net: Any = self.net
        image, text = [], []
        for v, grad in enumerate(grads):
            with torch.set_grad_enabled(grad), autocast(self.precision, self.device):
                image.append(net.encode_image(pixels[v]))
                text.append(net.encode_text(tokens[v]))
        return [F.normalize(e.float(), dim=1) for e in image], [F.normalize(e.float(), dim=1) for e in text]
