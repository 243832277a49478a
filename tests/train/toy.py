"""Two small towers without batch norm, and batches for them: what a step does can be computed again by hand."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safeclip.data.image_views import COLOUR_DRAWS
from safeclip.data.loader import Inputs
from safeclip.model.build import Clip

SIDE, DIM, WORDS = 8, 6, 20


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 16), nn.LayerNorm(16), nn.Linear(16, DIM))
        self.text = nn.Embedding(WORDS, DIM)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.image(pixels.contiguous())

    def encode_text(self, tokens: Tensor) -> Tensor:
        return torch.tanh(self.text(tokens).mean(1))


def clip(seed: int = 0) -> Clip:
    torch.manual_seed(seed)
    return Clip(Towers(), "toy", SIDE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), lambda captions: torch.zeros(1))


def inputs(objective: str, views: int, pairs: int, seed: int = 0) -> Inputs:
    random = torch.Generator().manual_seed(seed)
    return Inputs(
        uids=np.arange(pairs),
        objective=objective,
        images=torch.randint(0, 256, (views, pairs, SIDE, SIDE, 3), dtype=torch.uint8, generator=random),
        colour=torch.rand(views, pairs, COLOUR_DRAWS, generator=random),
        tokens=torch.randint(0, WORDS, (views, pairs, 5), generator=random),
    )


def unit(embedding: Tensor) -> Tensor:
    return F.normalize(embedding.float(), dim=1)
