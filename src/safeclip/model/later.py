"""Numbers of a step that the CPU wants, without waiting for the step: they travel while it goes on."""

from __future__ import annotations

import torch
from torch import Tensor


class Later:
    """Tensors on their way from the device to the CPU. Nobody waits until `take`."""

    def __init__(self, *tensors: Tensor):
        self._parts = [tensor.detach() for tensor in tensors]
        self._done: torch.cuda.Event | None = None
        if any(part.is_cuda for part in self._parts):
            homes = [torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in self._parts]
            self._parts = [home.copy_(part, non_blocking=True) for home, part in zip(homes, self._parts, strict=True)]
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def take(self) -> list[Tensor]:
        """The tensors, on the CPU."""
        if self._done is not None:
            self._done.synchronize()
        return self._parts
