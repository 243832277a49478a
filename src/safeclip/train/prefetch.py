"""The next batch travels to the device while this one is computed there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from safeclip.data.loader import Inputs


def prefetched(batches: Iterable[Inputs], device: torch.device) -> Iterator[Inputs]:
    """The same batches, on the device. On CUDA they are copied from pinned memory on a stream of their own, one batch
    ahead; on a CPU they come as they are, none of them made before it is asked for."""
    if device.type != "cuda":
        yield from batches
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def sent(inputs: Inputs) -> tuple[Inputs, torch.cuda.Event]:
        with torch.cuda.stream(copying):
            there = inputs.each(lambda part: part.to(device, non_blocking=True))
            return there, copying.record_event()  # of this batch alone: the next one is on its way behind it

    def arrived(inputs: Inputs, copied: torch.cuda.Event) -> Inputs:
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copied)

        def claim(part: Tensor) -> Tensor:
            part.record_stream(computing)  # else its memory could be handed out again while it is still read
            return part

        return inputs.each(claim)

    waiting: tuple[Inputs, torch.cuda.Event] | None = None
    for inputs in batches:
        following = sent(inputs)
        if waiting is not None:
            yield arrived(*waiting)
        waiting = following
    if waiting is not None:
        yield arrived(*waiting)
