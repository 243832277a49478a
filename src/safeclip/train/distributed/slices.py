"""Each rank's slice of every batch: cut in the plan's order, so that the slices end to end are the batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from safeclip.data.loader import Inputs
from safeclip.data.plan import Batch
from safeclip.train.distributed.gather import gather_rows
from safeclip.train.distributed.talk import joined, rank, world


def split(uids: np.ndarray) -> list[np.ndarray]:
    """Each rank's slice, in the order of the uids; sizes differ by one at most."""
    return np.array_split(uids, world())


def share(uids: np.ndarray) -> np.ndarray:
    """This rank's slice."""
    return split(uids)[rank()]


def shares(batches: list[Batch]) -> list[Batch]:
    """The plan with this rank's slice of every batch. Of a batch of fewer pairs than ranks, some are empty."""
    return batches if world() == 1 else [replace(batch, uids=share(batch.uids)) for batch in batches]


def meet(inputs: Inputs, planned: np.ndarray, bad: set[int]) -> tuple[Inputs, list[np.ndarray]]:
    """A batch as this rank takes it, and the uids of each rank's slice; [all of them] where it takes the whole batch.

    planned: int64 (B,), the batch's uids. bad: those of them that some rank could not read. A rank that is left with
    nothing could not take part in a step, so then every rank gets the others' slices and takes the whole batch.
    """
    if world() == 1:
        return inputs, [inputs.uids]
    slices = [part[~np.isin(part, list(bad))] if bad else part for part in split(planned)]
    if min(map(len, slices)) > 0:
        return inputs, slices
    counts = list(map(len, slices))
    uids = np.concatenate(slices)
    if len(uids) == 0:
        return inputs, [uids]
    width = inputs.tokens.shape[-1]  # captions are cut to the longest of each rank's slice
    tokens = torch.nn.functional.pad(inputs.tokens, (0, max(joined([width])) - width))
    tokens = gather_rows(tokens.transpose(0, 1), counts)
    images = gather_rows(inputs.images.transpose(0, 1), counts)
    colour = None if inputs.colour is None else gather_rows(inputs.colour.transpose(0, 1), counts)
    colour = None if colour is None else colour.transpose(0, 1)
    whole = replace(inputs, uids=uids, images=images.transpose(0, 1), tokens=tokens.transpose(0, 1), colour=colour)
    return whole, [uids]
