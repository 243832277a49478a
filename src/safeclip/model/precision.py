"""Which arithmetic the forward pass uses: bf16 where this machine is made for it, float32 elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

Precision = Literal["bf16", "fp32"]
_SIZE, _TRIES = 768, 5
"""Of the product that is timed."""


def resolve(wanted: Literal["auto", "bf16", "fp32"], device: torch.device) -> Precision:
    """`auto` becomes bf16 on a GPU that has it, and on a CPU where a product is timed at least 1.3 times as fast as in
    float32. Write the answer down, so that a resumed run does not measure again."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _seconds(torch.float32, device) > 1.3 * _seconds(torch.bfloat16, device) else "fp32"


@contextlib.contextmanager
def autocast(precision: Precision, device: torch.device) -> Iterator[None]:
    """Around the forward pass only; losses are computed in float32. On a CPU in bf16, attention is written out as
    products: the fused kernel's backward takes two to four times as long at the 24 to 77 tokens of a caption."""
    with contextlib.ExitStack() as stack:
        if precision == "bf16":
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
            if device.type == "cpu":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    left = torch.randn(_SIZE, _SIZE, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(_TRIES):
        start = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - start)
    return best
