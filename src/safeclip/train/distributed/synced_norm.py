"""Batch norm over the batches of all ranks, so that statistics, like negatives, are those of the whole batch.

On GPUs PyTorch's own SyncBatchNorm. It does not run on a CPU; there,

    mean = sum_r sum x / n,   var = sum_r sum (x - mean)^2 / n,   n the values of a channel over all ranks,

with gradients through both sums.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from safeclip.errors import InputError


def sync_norms(net: nn.Module) -> None:
    """Replace the batch norms of `net`, on its device, in place. Their parameters, buffers and names stay.

    Raises InputError on a CPU where one is of a kind that does more than normalise.
    """
    for name, module in list(net.named_modules()):
        if not isinstance(module, _BatchNorm):
            continue
        parent = net.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], _synced(name, module))


def _synced(name: str, norm: _BatchNorm) -> nn.Module:
    if next(norm.parameters()).is_cuda:
        import timm.layers as layers  # timm's norms have an activation, which PyTorch's converter would drop

        converted: nn.Module = layers.convert_sync_batchnorm(norm)  # type: ignore[attr-defined, no-untyped-call]
        return converted
    if type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d) or norm.momentum is None:
        raise InputError(f"{name}: a {type(norm).__name__} cannot be shared by ranks on CPUs; train in one process")
    synced = _SyncedNorm(norm.num_features, norm.eps, norm.momentum, norm.affine)
    synced.__dict__.update(_parameters=norm._parameters, _buffers=norm._buffers, training=norm.training)
    return synced


class _SyncedNorm(_BatchNorm):
    """x: (B, C) or (B, C, H, W), of any B on each rank."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        dims = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        with torch.autocast(x.device.type, enabled=False):
            values = x.to(torch.promote_types(x.dtype, torch.float32))
            count = values.new_full((1,), values.numel() / values.shape[1])
            sums = _sum_of_ranks(torch.cat([values.sum(dims), count]))
            n = sums[-1].detach()
            mean = sums[:-1] / n
            centred = values - mean.view(shape)
            variance = _sum_of_ranks(centred.square().sum(dims)) / n
            out = centred * torch.rsqrt(variance + self.eps).view(shape)
            if self.affine:
                out = out * self.weight.view(shape) + self.bias.view(shape)
        self._remember(mean.detach(), variance.detach() * (n / (n - 1)))
        return out.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.momentum is not None
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any that forward takes."""


def _sum_of_ranks(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """Over the ranks, in both directions: each rank's loss reads the sum of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total
