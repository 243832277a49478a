"""Which arithmetic the forward pass uses: bf16 where this machine multiplies it faster, float32 elsewhere."""

from __future__ import annotations

import contextlib
import time
from typing import Literal

import torch

Precision = Literal["bf16", "fp32"]


def resolve(wanted: Literal["auto", "bf16", "fp32"], device: torch.device) -> Precision:
    """`auto` becomes bf16 where a product of that kind is at least 1.3 times as fast as in float32; a measurement, so write it down."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _seconds(torch.float32, device) > 1.3 * _seconds(torch.bfloat16, device) else "fp32"


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Around the forward pass only; losses are computed in float32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def _seconds(dtype: torch.dtype, device: torch.device, size: int = 768, repeats: int = 5) -> float:
    left = torch.randn(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - start)
    return best
