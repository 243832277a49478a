"""CleanCLIP against its slow twin; what it asks of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safeclip.config import RunConfig
from safeclip.errors import InputError
from safeclip.methods import build_method
from safeclip.objective import clip_loss
from tests.methods.driven import Data, config, drive
from tests.reference.cleanclip import cleanclip_loss

SCALE = torch.tensor(11.0)


def settings(**changes: Any) -> RunConfig:
    return config(**{"method": "cleanclip", "model.weights": "poisoned.safetensors", "epochs": 3, **changes})


def embeddings(seed: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(7, 8, generator=random), dim=1).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_the_loss_equals_the_twins(weight: float, views: int) -> None:
    method = build_method(settings(**{"cleanclip.unimodal_weight": weight, "views.clip_count": views}), 50, 8)
    for seed in range(5):
        image, text = embeddings(seed), embeddings(seed + 100)
        wanted = cleanclip_loss(
            [e.detach().numpy() for e in image], [e.detach().numpy() for e in text], 11.0, weight, views == 2
        )
        assert method.loss("cleanclip", image, text, SCALE).item() == pytest.approx(wanted, rel=1e-5)


def test_without_the_unimodal_loss_it_is_plain_clip_on_the_first_views() -> None:
    method = build_method(settings(**{"cleanclip.unimodal_weight": 0}), 50, 8)
    image, text = embeddings(1), embeddings(2)
    assert torch.equal(method.loss("cleanclip", image, text, SCALE), clip_loss(image[0], text[0], SCALE))


def test_gradients_flow_through_both_views_of_both_modalities() -> None:
    method = build_method(settings(), 50, 8)
    assert method.objectives["cleanclip"].grads == (True, True)
    image, text = embeddings(1), embeddings(2)
    method.loss("cleanclip", image, text, SCALE).backward()
    for view in (*image, *text):
        assert view.grad.abs().sum() > 0


@pytest.mark.parametrize("text", ["eda", "none"])
def test_a_batch_is_two_augmented_views_of_each_pair(text: str) -> None:
    recipe = (
        build_method(settings(**{"views.text": text, "views.clip_text": text}), 50, 8).objectives["cleanclip"].recipe
    )
    assert (recipe.views, recipe.augment, recipe.eda) == (2, True, text == "eda")


def test_every_usable_pair_is_planned_once_each_epoch_and_the_steps_are_those_of_the_schedule() -> None:
    cfg, data = settings(**{"optim.batch_size": 8}), Data(50)
    data.usable[[3, 17]] = False
    taken = 0
    for epoch in drive(build_method(cfg, 50, data.dim), cfg, data):
        assert sorted(uid for b in epoch.batches for uid in b.uids.tolist()) == np.flatnonzero(data.usable).tolist()
        taken += len(epoch.batches)
    assert epoch.schedules["cleanclip"].steps == taken


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model.weights": None}, "model.weights = None: cleanclip mends a trained model; name its checkpoint"),
        ({"views.clip_views": "clean"}, "views.clip_views = 'clean': cleanclip takes both its losses"),
        ({"views.clip_text": "none"}, "views.clip_text = 'none': cleanclip takes both its losses"),
    ],
)
def test_what_it_cannot_run_with_is_one_line_of_bad_input(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        settings(**changes)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)
