"""Plain CLIP: every pair, every epoch, one loss; and what all methods have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safeclip.config import METHOD_NAMES
from safeclip.data.loader import Recipe
from safeclip.errors import InputError
from safeclip.methods import METHODS, build_method
from safeclip.objective import clip_loss, clip_loss_crossed
from tests.methods.driven import Data, config, drive


def test_every_usable_pair_is_planned_once_each_epoch_for_the_clip_loss() -> None:
    cfg, data = config(method="clip", epochs=3, **{"optim.batch_size": 8}), Data(50)
    data.usable[[3, 17]] = False
    epochs = list(drive(build_method(cfg, 50, data.dim), cfg, data))
    assert len(epochs) == 3
    for epoch in epochs:
        assert sorted(uid for b in epoch.batches for uid in b.uids.tolist()) == np.flatnonzero(data.usable).tolist()
        assert {b.objective for b in epoch.batches} == {"clip"}


@pytest.mark.parametrize("views", [1, 2])
def test_the_loss_is_symmetric_over_one_view_and_crossed_over_two(views: int) -> None:
    method = build_method(config(method="clip", **{"views.clip_count": views}), 50, 8)
    assert method.objectives["clip"].recipe.views == views
    torch.manual_seed(0)
    image, text = ([F.normalize(torch.randn(6, 8), dim=1) for _ in range(views)] for _ in range(2))
    wanted = clip_loss(image[0], text[0], 9.0)
    if views == 2:
        wanted = clip_loss_crossed(image[0], text[0], image[1], text[1], 9.0)
    assert torch.equal(method.loss("clip", image, text, torch.tensor(9.0)), wanted)


@pytest.mark.parametrize(("clip_views", "clip_text"), [("clean", "none"), ("augmented", "eda"), ("augmented", "none")])
def test_all_methods_show_the_clip_loss_the_same_views(clip_views: str, clip_text: str) -> None:
    changes = {"views.clip_views": clip_views, "views.clip_text": clip_text}
    for name in ("clip", "safeclip", "roclip", "filter"):
        recipe = build_method(config(method=name, **changes), 50, 8).objectives["clip"].recipe
        assert recipe == Recipe(1, clip_views == "augmented", clip_text == "eda")


def test_an_unknown_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"method = 'magic': choose among clip, safeclip, .*filter"):
        config(method="magic")
    assert tuple(METHODS) == METHOD_NAMES, "there is one for each name, and no other"
