"""What averages gradients over the ranks: PyTorch's DDP, or its FSDP2 for sharded towers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from safeclip.train.distributed import sharded
from safeclip.train.distributed.synced_norm import sync_norms
from safeclip.train.distributed.talk import add_up, first, world

OUTSIDE = ("logit_scale", "logit_bias")
"""Parameters that no tower holds: the loss alone gives them their gradient."""


def engine(towers: nn.Module, shards: bool) -> nn.Module:
    """`towers`, which has the two of them as `net`, under DDP, its batch norms synchronised. Call it as `towers`.
    shards: under FSDP2 instead."""
    if world() == 1:
        return towers
    sync_norms(towers)
    if shards:
        sharded.shard(towers.get_submodule("net"), OUTSIDE)
        return towers
    left_out = [f"net.{name}" for name in OUTSIDE] + [name for name, _ in towers.named_buffers()]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(towers, left_out)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(towers)


@contextlib.contextmanager
def last_of(towers: nn.Module, last: bool) -> Iterator[None]:
    """Around each of several backward passes that add up to one gradient: the last one averages it over the ranks."""
    if isinstance(towers, DistributedDataParallel):
        with contextlib.nullcontext() if last else towers.no_sync():
            yield
        return
    net = towers.get_submodule("net")
    if isinstance(net, FSDPModule):
        net.set_requires_gradient_sync(last)
    yield


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights or moments as one process has them. A collective where they are sharded; only rank 0 then keeps them."""
    if not any(isinstance(t, DTensor) for t in tensors.values()):
        return tensors
    found = ((name, sharded.plain(t)) for name, t in tensors.items())
    return {name: t.cpu() for name, t in found if first()}


def sum_up(net: Any, image: list[Tensor], text: list[Tensor], loss: Tensor, counts: list[int]) -> Tensor:
    """After the backward pass: the batch's loss and the gradients outside the towers, from each rank's part of them.

    A tower whose embeddings the loss did not read gets no gradient, as in one process: the zeros it has would still
    decay its weights and moments. image, text, counts: as from and for `gather`.
    """
    if world() == 1:
        return loss
    of_image = {id(p) for p in net.visual.parameters()}
    for embeddings, is_image in ((image, True), (text, False)):
        if all(e.grad is None for e in embeddings if e.requires_grad):
            for name, p in net.named_parameters():
                if (id(p) in of_image) == is_image and name not in OUTSIDE:
                    p.grad = None
    if len(counts) == 1:  # every rank has it all
        return loss
    for name in OUTSIDE:
        p = getattr(net, name, None)
        if p is not None and p.grad is not None:
            add_up(p.grad)
    return add_up(loss)
