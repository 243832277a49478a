"""One optimizer step: views through the towers, the method's loss, gradients, update.

With `accumulate` > 1 a batch runs in parts and still gets the contrastive loss of the whole batch: embeddings are
cached without gradients, the loss is differentiated with respect to them, and each part runs again to carry that
gradient into the towers (Gao et al. 2021, GradCache), with the draws of its first run where towers have dropout.

What must stay true: a step whose loss or gradient is not finite leaves no trace in weights, moments, norms, pools or
scores; and nothing here waits for the device, which alone knows: on CUDA the CPU runs ahead and prepares batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from safeclip.config import RunConfig
from safeclip.data.image_views import colour
from safeclip.data.loader import Inputs
from safeclip.errors import reason
from safeclip.methods.base import Method
from safeclip.model.build import MAX_LOGIT_SCALE, Clip, decay_groups
from safeclip.model.precision import Precision
from safeclip.train import distributed
from safeclip.train.exactly import exactly
from safeclip.train.towers import Towers, compile_errors


class Stepper:
    """Holds the optimizer; everything else is borrowed. Call it once a batch. note: takes a line for the log."""

    def __init__(
        self,
        clip: Clip,
        method: Method,
        config: RunConfig,
        precision: Precision,
        device: torch.device,
        note: Callable[[str], None] = lambda text: None,
    ):
        self.clip, self.method, self.config, self.device, self.note = clip, method, config, device, note
        self.cuda = [device] if device.type == "cuda" else []
        self.exact = config.deterministic and device.type == "cuda"
        optim = config.optim
        mine = len(distributed.share(np.arange(optim.batch_size)))
        full = [part.stop - part.start for part in _parts(mine, optim.accumulate)]
        self.towers = Towers(clip.net, precision, device, config.model.compile, full)
        self.engine = distributed.engine(self.towers, config.model.shard)
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
        net, grads = self.clip.net, self.method.objectives[inputs.objective].grads
        net.train()
        buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]  # of the norms; a few MB at most
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        counts, accumulate = [len(uids) for uids in slices], accumulate or self.config.optim.accumulate
        try:
            image, text, loss = self._backward(inputs, grads, counts, accumulate)
        except Exception as error:
            if not self.towers.compiled or not isinstance(error, compile_errors()):
                raise
            self.note(
                f"model.compile = {self.config.model.compile}: not compiled ({reason(error)}); going on without it"
            )
            self.towers.uncompile()
            self.optimizer.zero_grad(set_to_none=True)
            image, text, loss = self._backward(inputs, grads, counts, accumulate)
        loss = distributed.sum_up(net, image, text, loss.detach(), counts)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.config.optim.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.config.optim.clip_norm, norm)
        finite = torch.isfinite(loss + distributed.plain(norm))
        self.optimizer.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]  # fused AdamW skips on the device
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            net.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)
            for buffer, before in buffers:
                buffer.copy_(torch.where(finite, buffer, before))
        # embeddings of a skipped step are NaN, which pools and scores leave out
        image, text = ([torch.where(finite, e.detach(), torch.nan) for e in side] for side in (image, text))
        self.method.observe(inputs.objective, np.concatenate(slices), image, text)
        return torch.where(finite, loss, torch.nan)

    def _backward(
        self, inputs: Inputs, grads: tuple[bool, ...], counts: list[int], accumulate: int
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Gradients of the batch. Returns its embeddings, of each view, and its loss."""
        parts = _parts(len(inputs.uids), min(accumulate, *counts))  # as many on every rank
        if len(parts) > 1:
            return self._in_parts(inputs, parts, grads, counts)
        image, text = distributed.gather(*self._embed(inputs, parts[0], grads), counts)
        return image, text, self._lose(inputs.objective, image, text, counts)

    def _in_parts(
        self, inputs: Inputs, parts: list[slice], grads: tuple[bool, ...], counts: list[int]
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        with torch.no_grad():  # with it on, DDP would make ready to reduce what no backward pass follows
            draws, cached = [], []
            for part in parts:
                draws.append(self._draws())
                cached.append(self._embed(inputs, part, (False,) * len(grads)))
        leaves = [
            [torch.cat([c[side][v] for c in cached]).requires_grad_(grads[v]) for v in range(len(grads))]
            for side in (0, 1)
        ]
        image, text = distributed.gather(leaves[0], leaves[1], counts)
        loss = self._lose(inputs.objective, image, text, counts)
        for i, part in enumerate(parts):
            with distributed.last_of(self.engine, i + 1 == len(parts)), self._drawing(draws[i]):
                again = self._embed(inputs, part, grads)
                pairs = [
                    (e, leaf.grad[part])
                    for new, old in zip(again, leaves, strict=True)
                    for e, leaf in zip(new, old, strict=True)
                    if leaf.grad is not None
                ]
                with exactly(self.exact):
                    torch.autograd.backward([e for e, _ in pairs], [g for _, g in pairs])
            if i == 0 and self.towers.in_graphs:  # the first gradients lie where the next part's run will write
                for p in self.parameters:
                    p.grad = None if p.grad is None else p.grad.clone()
        return image, text, loss

    def _draws(self) -> tuple[Tensor, ...]:
        """Where the random generators that towers draw from stand, which the CPU knows."""
        return (torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self.cuda))

    @contextmanager
    def _drawing(self, draws: tuple[Tensor, ...]) -> Iterator[None]:
        """Inside, they draw again what they drew from there on; behind it, they go on from where they were."""
        with torch.random.fork_rng(self.cuda):
            torch.set_rng_state(draws[0])
            for device, state in zip(self.cuda, draws[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield

    def _lose(self, objective: str, image: list[Tensor], text: list[Tensor], counts: list[int]) -> Tensor:
        """This rank's part of the batch's loss, differentiated."""
        rows, weight = distributed.part(counts)
        loss = weight * self.method.loss(objective, image, text, self.clip.net.logit_scale.exp(), rows)
        with exactly(self.exact):
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _embed(self, inputs: Inputs, rows: slice, grads: tuple[bool, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """A unit embedding (b, D) of each of `rows`, per view and modality."""
        pixels, tokens = [], []
        for v in range(len(grads)):
            pictures = inputs.images[v, rows].to(self.device, non_blocking=True)
            draws = None if inputs.colour is None else inputs.colour[v, rows].to(self.device, non_blocking=True)
            pixels.append(colour(pictures, draws, self.config.views, self.clip.mean, self.clip.std))
            tokens.append(inputs.tokens[v, rows].to(self.device, non_blocking=True))
        image, text = self.engine(pixels, tokens, grads)
        return image, text


def _parts(count: int, parts: int) -> list[slice]:
    """`count` rows in that many slices, or one a row, as even as can be; pinned memory is copied from in place."""
    parts = min(parts, count)
    edges = [i * count // parts for i in range(parts + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]
