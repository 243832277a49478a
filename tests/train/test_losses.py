"""Losses are read late and lose nothing; a batch comes ahead of its turn and stays what it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from safeclip.config import OptimConfig
from safeclip.train.losses import Losses, Step
from safeclip.train.memory import used
from safeclip.train.prefetch import prefetched
from tests.train import toy

CPU = torch.device("cpu")


def test_losses_are_read_once_in_the_order_of_their_steps() -> None:
    logged, said = [], []
    losses = Losses(OptimConfig(), logged.append, said.append)
    assert math.isnan(losses.settle())
    for i, value in enumerate((1.0, math.nan, 4.0, 2.0)):
        losses.add(torch.tensor(value), Step("clip" if i < 3 else "unimodal", 2, i, 10 + i, np.arange(i, i + 3)))
    assert (losses.sums, logged) == ({}, []), "adding reads nothing"
    assert losses.settle() == 2.0
    assert losses.means() == {"clip": 2.5, "unimodal": 2.0}
    assert logged == [{"event": "skip", "epoch": 2, "step": 11, "batch": 1, "objective": "clip", "uids": [1, 2, 3]}]
    assert [line.split(":")[0] for line in said] == ["epoch 2, batch 1"]
    assert losses.state_dict() == {"sums": {"clip": [5.0, 2], "unimodal": [2.0, 1]}, "skips": [1, 0]}
    assert math.isnan(losses.settle())


def test_on_a_cpu_no_batch_is_made_before_its_turn() -> None:
    made = []

    def batches():
        for i in range(3):
            made.append(i)
            yield toy.inputs("clip", 1, 4, seed=i)

    for i, inputs in enumerate(prefetched(batches(), CPU)):
        assert made == list(range(i + 1))
        assert torch.equal(inputs.images, toy.inputs("clip", 1, 4, seed=i).images)
    assert used(CPU) == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_batches_arrive_whole_and_in_order() -> None:
    device = torch.device("cuda")
    sent = [toy.inputs("clip", 2, 64, seed=i).pin_memory() for i in range(8)]
    for i, inputs in enumerate(prefetched(iter(sent), device)):
        torch.ones(2000, 2000, device=device) @ torch.ones(2000, 2000, device=device)
        for name in ("images", "colour", "tokens"):
            part = getattr(inputs, name)
            assert part.device.type == "cuda"
            assert torch.equal(part.cpu(), getattr(sent[i], name))
    assert used(device)["activations_mib"] >= 0
