"""As many threads as this process may use cores: in a container torch counts those of the whole machine, and threads
that share a core wait for each other."""

from __future__ import annotations

import os

import torch

from safeclip.cores import usable_cores


def set_threads() -> int:
    """Give torch at most the usable cores and return its threads. What OMP_NUM_THREADS says stays."""
    if not os.environ.get("OMP_NUM_THREADS") and torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())
    return torch.get_num_threads()
