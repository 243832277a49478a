"""Losses are read late and lose nothing; a batch comes ahead of its turn and stays what it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from safeclip.train.losses import Losses, Step
from safeclip.train.memory import used
from safeclip.train.prefetch import prefetched
from tests.train import toy

CPU = torch.device("cpu")


def test_losses_come_back_once_in_the_order_of_their_steps() -> None:
    losses = Losses()
    assert losses.take() == []
    steps = [Step("clip", batch=i, step=10 + i, uids=np.arange(3)) for i in range(3)]
    for value, step in zip((1.0, math.nan, 4.0), steps, strict=True):
        losses.add(torch.tensor(value), step)
    found = losses.take()
    assert [step for _, step in found] == steps
    assert str([value for value, _ in found]) == "[1.0, nan, 4.0]"
    assert losses.take() == []


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
