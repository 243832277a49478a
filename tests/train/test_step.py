"""One step: gradients in parts are those of the whole, the logit scale keeps its bounds, norms and biases no decay."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from safeclip.config import ModelConfig
from safeclip.data.image_views import colour
from safeclip.data.loader import Inputs
from safeclip.methods import build_method
from safeclip.model.build import MAX_LOGIT_SCALE, Clip, build, decay_groups
from safeclip.objective import clip_loss, clip_loss_crossed, unimodal_loss
from safeclip.train.step import Stepper
from tests.methods.driven import config
from tests.train import toy

PAIRS = 11
CPU = torch.device("cpu")


def stepper(clip: Clip, **changes) -> Stepper:
    """Of safeclip, its pools full."""
    cfg = config(**{"safeclip.pool_size": 20, "optim.clip_norm": None, **changes})
    made = Stepper(clip, build_method(cfg, 100, toy.DIM), cfg, "fp32", CPU)
    random = torch.Generator().manual_seed(7)
    for pool in made.method.pools.values():
        pool.enqueue(torch.randn(20, toy.DIM, generator=random))
    return made


def gradients(made: Stepper, inputs: Inputs) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a step that is not taken."""
    found: dict[str, torch.Tensor] = {}

    def keep() -> None:
        named = made.clip.net.named_parameters()
        found.update((name, p.grad.clone()) for name, p in named if p.grad is not None)

    made.optimizer.step = keep
    return float(made(inputs, 1e-3)), found


def by_hand(made: Stepper, inputs: Inputs) -> tuple[float, dict[str, torch.Tensor]]:
    """The same from the losses alone, the whole batch at once."""
    net, pools, views = made.clip.net, made.method.pools, made.config.views
    image, text = [], []
    for v in range(len(inputs.images)):
        image.append(
            toy.unit(net.encode_image(colour(inputs.images[v], inputs.colour[v], views, (0.5,) * 3, (0.25,) * 3)))
        )
        text.append(toy.unit(net.encode_text(inputs.tokens[v])))
    scale = net.logit_scale.exp()
    if inputs.objective == "unimodal":
        of_image = unimodal_loss(image[1], pools["image"].nearest(image[0]), scale)
        loss = (of_image + unimodal_loss(text[1], pools["text"].nearest(text[0]), scale)) / 2
    elif len(image) == 2:
        loss = clip_loss_crossed(image[0], text[0], image[1], text[1], scale)
    else:
        loss = clip_loss(image[0], text[0], scale)
    named = dict(net.named_parameters())
    return loss.item(), dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


@pytest.mark.parametrize("parts", [1, 2, 3, PAIRS])
@pytest.mark.parametrize(("objective", "count"), [("clip", 1), ("clip", 2), ("unimodal", 2)])
def test_a_batch_in_parts_has_the_loss_and_the_gradients_of_the_whole(objective: str, count: int, parts: int) -> None:
    inputs = toy.inputs(objective, count, PAIRS)
    made = stepper(toy.clip(), **{"optim.accumulate": parts, "views.clip_count": count if objective == "clip" else 1})
    wanted_loss, wanted = by_hand(made, inputs)
    loss, found = gradients(made, inputs)
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    assert set(found) == set(wanted)
    for name, gradient in wanted.items():
        assert gradient.abs().sum() > 0, name
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_gradients_of_the_first_part_outlive_the_next_ones_run() -> None:
    """As CUDA graphs, towers write each part's gradients to one place, and the first become the parameters' own."""
    inputs = toy.inputs("unimodal", 2, PAIRS)
    plain, made = (stepper(toy.clip(), **{"optim.accumulate": 3}) for _ in range(2))
    _, wanted = gradients(plain, inputs)
    made.towers.fast, made.towers.mode = {"none": lambda x: x}, "reduce-overhead"
    first: dict[torch.Tensor, torch.Tensor] = {}

    def keep(p: torch.Tensor) -> None:
        first.setdefault(p, p.grad)

    for name, p in made.clip.net.named_parameters():
        if name != "logit_scale":  # no tower's
            p.register_post_accumulate_grad_hook(keep)
    forward = made.towers.forward

    def run(*views):
        for place in first.values():
            place.fill_(torch.nan)
        return forward(*views)

    made.towers.forward = run
    _, found = gradients(made, inputs)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient)


class Drawing(nn.Module):
    """Dropout that keeps its masks."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.masks.append(2 * torch.bernoulli(torch.full_like(x, 0.5)))
        return x * self.masks[-1]


class Keeping(nn.Module):
    """The masks that a step drew, of the whole batch, for one run."""

    def __init__(self, mask: torch.Tensor):
        super().__init__()
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask


def test_each_part_runs_again_with_the_draws_of_its_first_run() -> None:
    """Or the gradients would be those of other embeddings than the loss saw."""
    inputs = toy.inputs("clip", 1, PAIRS)
    made, plain = stepper(toy.clip(), **{"optim.accumulate": 2}), stepper(toy.clip())
    drawing = Drawing()
    made.clip.net.image.append(drawing)
    torch.manual_seed(3)
    loss, found = gradients(made, inputs)
    went_on = torch.rand(1)
    first, again = drawing.masks[:2], drawing.masks[2:]
    assert not torch.equal(first[0][:5], first[1][:5]), "each part has draws of its own"
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)
    plain.clip.net.image.append(Keeping(torch.cat(first)))
    wanted_loss, wanted = by_hand(plain, inputs)
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    torch.manual_seed(3)
    for mask in first:
        torch.bernoulli(torch.full_like(mask, 0.5))
    assert torch.equal(torch.rand(1), went_on), "the next step has draws of its own"


@pytest.mark.parametrize("parts", [1, 3])
def test_a_batch_in_parts_fills_the_pools_as_the_whole_does(parts: int) -> None:
    made = stepper(toy.clip(), **{"optim.accumulate": parts})
    inputs = toy.inputs("unimodal", 2, PAIRS)
    view_1 = toy.unit(made.clip.net.encode_text(inputs.tokens[0])).detach()
    made(inputs, 0.0)
    torch.testing.assert_close(made.method.pools["text"].ring[:PAIRS], view_1)


@pytest.mark.parametrize(("start", "towards"), [(MAX_LOGIT_SCALE - 1e-3, -1.0), (1e-3, 1.0)])
def test_the_logit_scale_stays_between_0_and_ln_100(start: float, towards: float) -> None:
    clip = toy.clip()
    made = stepper(clip)
    clip.net.logit_scale.data.fill_(start)
    clip.net.logit_scale.register_hook(lambda gradient: torch.full_like(gradient, towards))
    made(toy.inputs("clip", 1, PAIRS), 0.5)
    assert float(clip.net.logit_scale.detach()) == pytest.approx(MAX_LOGIT_SCALE if towards < 0 else 0.0)
    assert math.isclose(MAX_LOGIT_SCALE, math.log(100))


def test_the_rate_given_is_the_rate_taken() -> None:
    clip = toy.clip()
    made, before = stepper(clip), {name: p.detach().clone() for name, p in clip.net.named_parameters()}
    made(toy.inputs("clip", 1, PAIRS), 0.0)
    assert all(torch.equal(p, before[name]) for name, p in clip.net.named_parameters()), "rate 0 moves nothing"
    made(toy.inputs("clip", 1, PAIRS), 1e-3)
    moved = {name: (p - before[name]).abs().max().item() for name, p in clip.net.named_parameters()}
    assert all(0 < distance <= 2.1e-3 for distance in moved.values()), moved


def test_a_long_gradient_is_cut_to_clip_norm() -> None:
    free, cut = stepper(toy.clip()), stepper(toy.clip(), **{"optim.clip_norm": 0.01})
    inputs = toy.inputs("clip", 1, PAIRS)
    long, short = gradients(free, inputs)[1], gradients(cut, inputs)[1]
    length = math.sqrt(sum(float(g.square().sum()) for g in long.values()))
    assert length > 0.01
    for name, gradient in long.items():
        torch.testing.assert_close(short[name], gradient * 0.01 / length, rtol=1e-3, atol=1e-8)


def test_norms_biases_and_the_logit_scale_do_not_decay_and_all_else_does() -> None:
    net = build(ModelConfig(name="safeclip-emoji", precision="fp32")).net
    norms = {f"{name}.{part}" for name, module in net.named_modules() for part in ("weight", "bias")
             if isinstance(module, (nn.LayerNorm, nn.BatchNorm2d))}  # fmt: skip
    named = dict(net.named_parameters())
    free = {name for name in named if name in norms or name.endswith("bias") or name == "logit_scale"}
    assert {"logit_scale", "visual.trunk.stem.1.weight"} <= free
    optimizer = torch.optim.AdamW(decay_groups(net, 0.5), lr=0.1)
    before = {name: p.detach().clone() for name, p in named.items()}
    for p in named.values():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in named.items():
        wanted = before[name] if name in free else before[name] * (1 - 0.1 * 0.5)
        torch.testing.assert_close(p.detach(), wanted, msg=name)


def test_frozen_parameters_are_left_alone() -> None:
    clip = toy.clip()
    clip.net.text.weight.requires_grad_(False)
    before = clip.net.text.weight.clone()
    stepper(clip, **{"optim.weight_decay": 0.5})(toy.inputs("clip", 1, PAIRS), 0.1)
    assert torch.equal(clip.net.text.weight, before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("scoring", ["fresh", "running"])
def test_on_a_gpu_a_step_waits_for_nothing(scoring: str) -> None:
    device, clip = torch.device("cuda"), toy.clip()
    clip.net.to(device)
    cfg = config(**{"safeclip.pool_size": 20, "safeclip.scoring": scoring})
    made = Stepper(clip, build_method(cfg, 100, toy.DIM), cfg, "bf16", device)
    for pool in made.method.pools.values():
        pool.to(device).enqueue(torch.randn(20, toy.DIM, device=device))
    batches = [toy.inputs(objective, 2 if objective == "unimodal" else 1, PAIRS).pin_memory()
               for objective in ("clip", "unimodal") * 3]  # fmt: skip
    for i, inputs in enumerate(batches):
        torch.cuda.set_sync_debug_mode("error" if i > 1 else "default")
        try:
            made(inputs, 1e-3)
        finally:
            torch.cuda.set_sync_debug_mode("default")
