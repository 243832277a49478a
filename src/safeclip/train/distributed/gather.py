"""From the rows of each rank to those of all, in rank order, with gradients back to each rank's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from safeclip.train.distributed.talk import add_up, first, joined, rank, world


def gather(image: list[Tensor], text: list[Tensor], counts: list[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Embeddings of the whole batch, in rank order, with gradients to this rank's rows.

    image, text: a float32 (b, D) for each view. counts: rows of each rank; a single count is a batch that every rank
    has whole. One collective for all of them, and one in the backward pass, where every rank's part of the loss has a
    gradient for every row.
    """
    if world() == 1:
        return image, text
    whole: tuple[Tensor, ...] = _Gather.apply(  # type: ignore[no-untyped-call]
        counts, *image, *text
    )
    for embedding in whole:
        if embedding.requires_grad:
            embedding.retain_grad()  # engine.sum_up asks for it
    return list(whole[: len(image)]), list(whole[len(image) :])


def part(counts: list[int]) -> tuple[slice | None, float]:
    """Of a batch, the rows that this rank computes the loss of, and their weight in the batch's mean. None: all."""
    if len(counts) == 1:
        return None, 1.0
    start = sum(counts[: rank()])
    return slice(start, start + counts[rank()]), counts[rank()] / sum(counts)


def gather_rows(mine: Tensor, counts: list[int]) -> Tensor:
    """Rows (b, ...) of all ranks end to end (sum of counts, ...). An empty `mine` may have any other shape."""
    shape = mine.shape[1:] if len(counts) == 1 or min(counts) > 0 else torch.Size(_shape_of_any(mine))
    padded = torch.zeros(max(counts), *shape, dtype=mine.dtype, device=mine.device)
    if len(mine):
        padded[: len(mine)] = mine
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def by_shares(work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`work` of rows (B, ...) that every rank has, each done by one rank: as it comes of all of them. A collective."""
    if world() == 1:
        return work(rows)
    edges = [r * len(rows) // world() for r in range(world() + 1)]
    return gather_rows(work(rows[edges[rank()] : edges[rank() + 1]]), [b - a for a, b in pairwise(edges)])


def rows_to_first(mine: np.ndarray, counts: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """On rank 0, one after the other, (rank, its rows), so that it holds those of one other rank at a time; nothing on
    the others, which send theirs as they iterate. counts: rows of each rank; of some may be none."""
    if not first():
        if len(mine):
            dist.send(_bytes(np.ascontiguousarray(mine)), 0)
        return
    yield 0, mine
    for other, count in enumerate(counts[1:], 1):
        theirs = np.empty((count, *mine.shape[1:]), mine.dtype)
        if count:
            dist.recv(_bytes(theirs), other)
        yield other, theirs


def _bytes(rows: np.ndarray) -> Tensor:
    """The same memory: gloo knows few types."""
    return torch.from_numpy(rows.reshape(-1).view(np.uint8))


def _shape_of_any(mine: Tensor) -> list[int]:
    return next(list(shape) for length, shape in joined([(len(mine), list(mine.shape[1:]))]) if length)


class _Gather(torch.autograd.Function):
    """Rows of all ranks. Gradients are summed over the ranks' parts of the loss, times the world size, for DDP and
    FSDP2 average them; an embedding that the loss does not read gets zeros, so that every rank's parameters all take
    part."""

    @staticmethod
    def forward(ctx: Any, counts: list[int], *local: Tensor) -> tuple[Tensor, ...]:
        ctx.counts = counts
        wide = torch.cat(local, dim=1)
        if len(counts) > 1:
            wide = gather_rows(wide, counts)
        whole = tuple(part.contiguous() for part in torch.split(wide, [z.shape[1] for z in local], dim=1))
        ctx.mark_non_differentiable(*[w for w, z in zip(whole, local, strict=True) if not z.requires_grad])
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        rows, _ = part(ctx.counts)
        if rows is None:
            return None, *grads
        summed = add_up(torch.cat(grads, dim=1)) * len(ctx.counts)
        return None, *torch.split(summed[rows], [grad.shape[1] for grad in grads], dim=1)
