"""FSDP2: each rank keeps a slice of every weight, gradient and moment, and has a block's whole weights only while it
computes with it. For towers whose weights and moments do not fit on one device.

What must stay true: outside training, weights are whole: what is saved, loaded or scored with is what one process has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(net: nn.Module, outside: Sequence[str]) -> None:
    """In place: every block of the towers, then the rest. outside: parameters that stay whole on every rank."""
    ignored = {p for name, p in net.named_parameters() if name in outside}
    for p in net.parameters():  # FSDP2 takes none in channels_last
        p.data = p.data.contiguous()
    for block in blocks(net):
        fully_shard(block, reshard_after_forward=True)
    fully_shard(net, reshard_after_forward=False, ignored_params=ignored)
    for method in ("encode_image", "encode_text"):
        register_fsdp_forward_method(net, method)
    net.register_load_state_dict_pre_hook(_lay_out)  # type: ignore[no-untyped-call]


def blocks(net: nn.Module) -> list[nn.Module]:
    """The repeated parts of the towers, such as a transformer's layers, inner ones first."""
    rows = [m for m in net.modules() if isinstance(m, (nn.ModuleList, nn.Sequential))]
    found = dict.fromkeys(part for row in rows if len(row) > 1 for part in row if any(True for _ in part.children()))
    return [m for m in reversed(list(net.modules())) if m in found]


def plain(tensor: Tensor) -> Tensor:
    """A tensor as one process has it: all of one that is sharded, or that FSDP2 computed, such as a norm. A collective
    there."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def laid_out_as(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` is: this rank's slice of it, where that is sharded. Every rank gives the same value."""
    if not isinstance(like, DTensor) or isinstance(value, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


@contextlib.contextmanager
def whole_weights(net: nn.Module) -> Iterator[None]:
    """Inside it, every rank has all weights, and forward passes are no collectives: ranks may take different numbers of
    them."""
    parts = [m for m in net.modules() if isinstance(m, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(part is not net, recurse=False)
            part.reshard()


def _lay_out(net: nn.Module, state: dict[str, Any], *_: Any) -> None:
    """Before net.load_state_dict: whole tensors become slices."""
    with torch.no_grad():
        for name, own in net.named_parameters():
            if name in state:
                state[name] = laid_out_as(state[name], own)
