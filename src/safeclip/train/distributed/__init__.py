"""Many processes train one model, each on its slice of every batch; on one process every helper is the identity.

With z_r the embeddings of rank r's slice, and L_r its part of the batch's loss: of its rows, against all columns,

    z = gather(z_1 .. z_W),   L = sum_r L_r(z),   d theta = mean_r ( W dL/dz_r dz_r/d theta ) = dL/d theta

so that W ranks take the step of one process with the whole batch: negatives, pools and running scores see all of it,
in the plan's order, on every rank. `torchrun` starts the ranks; DDP averages the gradients, or FSDP2 where the towers
are sharded (sharded.py).

What must stay true: ranks call the collectives in the same order, whatever they read; what one rank alone decides
(the time, the arithmetic) it tells the others; rank 0 alone writes. Ranks speak JSON and tensors, no pickle.
"""

from __future__ import annotations

from safeclip.train.distributed.engine import engine, last_of, sum_up, whole
from safeclip.train.distributed.gather import by_shares, gather, part, rows_to_first
from safeclip.train.distributed.session import device, ranks
from safeclip.train.distributed.sharded import plain, whole_weights
from safeclip.train.distributed.slices import meet, share, shares, split
from safeclip.train.distributed.talk import (
    agree,
    anywhere,
    await_first,
    first,
    joined,
    of_first,
    rank,
    tensors_of_first,
    world,
)

__all__ = [
    "agree", "anywhere", "await_first", "by_shares", "device", "engine", "first", "gather", "joined",
    "last_of", "meet", "of_first", "part", "plain", "rank", "ranks", "rows_to_first", "share", "shares", "split",
    "sum_up", "tensors_of_first", "whole", "whole_weights", "world",
]  # fmt: skip
