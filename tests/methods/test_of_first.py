"""Where ranks train together, what has a row for every pair lies with the one that decides."""

from __future__ import annotations

import numpy as np
import torch

from safeclip.methods import build_method
from safeclip.methods.base import State
from tests.methods.driven import Data, config, drive

COMPARING = {
    "epochs": 6,
    "safeclip.warmup_epochs": 1,
    "safeclip.risk": ["cosine", "neighbours"],
    "safeclip.share_first": 0.4,
}


def test_what_has_a_row_for_every_pair_is_for_the_rank_that_decides_alone() -> None:
    data = Data(400)
    changes = {
        **COMPARING,
        "safeclip.scoring": "running",
        "safeclip.veto": ["copies", "patterns"],
        "safeclip.pool_size": 9,
    }
    cfg = config(**changes)
    method = build_method(cfg, 400, data.dim)
    list(drive(method, cfg, data, last=4))
    state = method.state_dict()
    large = {name for name, t in state.tensors.items() if t.numel() >= 400}
    assert len(large) >= 4
    assert all(name.startswith(method.of_first) for name in large)
    other = build_method(cfg, 400, data.dim, decides=False)
    unread = {n: torch.empty(0) if n.startswith(other.of_first) else t for n, t in state.tensors.items()}
    other.load_state_dict(State(unread, state.values))
    for mine, theirs in zip(method.plan(4, data.usable).batches, other.plan(4, data.usable).batches, strict=True):
        assert np.array_equal(mine.uids, theirs.uids)
    glances = data.glances
    other.vetoes.look(data.tools())
    assert data.glances == glances, "what the first has is not asked for again, which it would not take part in"
