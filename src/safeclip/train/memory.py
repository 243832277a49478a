"""What training holds on a CUDA device and what its steps need beside that; and a step that does not fit in memory:
found out by trying how many parts of the batch do (optim.accumulate).

What must stay true: a trial is a whole step, its optimizer's moments included, so what is advised has been seen to fit.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch


def used(device: torch.device) -> dict[str, int]:
    """{"held_mib": weights, optimizer and pools, "activations_mib": most that was used beside them since last asked}.

    Call it between steps. On a CPU there is nothing to tell: {}. It asks the allocator, not the device.
    """
    if device.type != "cuda":
        return {}
    held, peak = torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return {"held_mib": held >> 20, "activations_mib": (peak - held) >> 20}


def is_out_of_memory(error: BaseException) -> bool:
    """Of the device, or of the machine."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def what_fits(try_step: Callable[[int], object], parts: int, pairs: int) -> str:
    """One line on a batch of `pairs` that did not fit in `parts`. try_step: see `parts_that_fit`."""
    return advice(parts, parts_that_fit(try_step, parts, pairs), pairs)


def parts_that_fit(try_step: Callable[[int], object], parts: int, pairs: int) -> int | None:
    """The fewest parts, doubling from `parts`, in which a batch of `pairs` fits; None where not even pairs of two do.

    try_step: takes the number of parts and does a whole step with them. Call this outside the `except` that caught the
    error: a traceback keeps the failed step's tensors.
    """
    while (parts := 2 * parts) <= pairs // 2:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            try_step(parts)
            return parts
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
    return None


def advice(parts: int, fitting: int | None, pairs: int) -> str:
    """One line. parts: that the batch of `pairs` was computed in. fitting: in how many it would fit."""
    said = f"out of memory with {-(-pairs // parts)} pairs at once"
    if fitting is None:
        return f"{said}, and with 2 as well; take a smaller model.name, or a device with more memory"
    most = -(-pairs // fitting)
    return (
        f"{said}; {most} fit: set optim.accumulate = {fitting} (the same loss, in parts), or start anew with "
        f"optim.batch_size = {most}"
    )
