"""The losses against their literal twins, and what the rest of the code relies on."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from safeclip.objective import clip_loss, clip_loss_crossed, unimodal_loss
from tests.reference import losses

GRID = list(
    itertools.product([1, 2, 7], [3, 16], [1.0, 1 / 0.07, 100.0], [torch.float32, torch.bfloat16, torch.float64])
)


def embeddings(batch: int, dim: int, dtype: torch.dtype, count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(batch * 100 + dim)
    return [F.normalize(torch.randn(batch, dim, generator=generator), dim=1).to(dtype) for _ in range(count)]


@pytest.mark.parametrize(("batch", "dim", "scale", "dtype"), GRID)
def test_losses_equal_their_literal_twins(batch: int, dim: int, scale: float, dtype: torch.dtype) -> None:
    parts = embeddings(batch, dim, dtype, 4)
    plain = [part.double().numpy() for part in parts]
    for fast, slow, count in (
        (clip_loss, losses.clip_loss, 2),
        (clip_loss_crossed, losses.clip_loss_crossed, 4),
        (unimodal_loss, losses.unimodal_loss, 2),
    ):
        loss = fast(*parts[:count], scale)
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(slow(*plain[:count], scale), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("loss", "count"), [(clip_loss, 2), (clip_loss_crossed, 4), (unimodal_loss, 2)])
def test_the_parts_of_a_batch_weighted_by_their_rows_are_its_loss_and_its_gradients(loss, count) -> None:
    whole = [part.requires_grad_() for part in embeddings(7, 5, torch.float64, count)]
    wanted = torch.autograd.grad(loss(*whole, 9.0), whole, allow_unused=True)
    cuts = [slice(0, 3), slice(3, 4), slice(4, 7)]
    parts = [loss(*whole, 9.0, rows) * (rows.stop - rows.start) / 7 for rows in cuts]
    assert sum(parts).item() == pytest.approx(loss(*whole, 9.0).item(), rel=1e-6)
    found = torch.autograd.grad(sum(parts), whole, allow_unused=True)
    for one, two in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_a_part_computes_no_more_than_its_own_rows() -> None:
    image, text = (part.requires_grad_() for part in embeddings(7, 5, torch.float64, 2))
    unimodal_loss(image, text.detach(), 9.0, slice(2, 4)).backward()
    assert image.grad is not None
    assert image.grad.abs().sum(1).nonzero().flatten().tolist() == [2, 3]


@pytest.mark.parametrize("loss", [clip_loss, unimodal_loss])
def test_autocast_does_not_round_the_logits(loss) -> None:
    a, b = embeddings(64, 32, torch.float32, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = loss(a, b, torch.tensor(100.0))
    assert torch.equal(under, loss(a, b, torch.tensor(100.0)))


def test_clip_loss_is_symmetric_and_the_unimodal_loss_is_not() -> None:
    a, b = embeddings(8, 5, torch.float32, 2)
    assert clip_loss(a, b, 10.0).item() == pytest.approx(clip_loss(b, a, 10.0).item(), rel=1e-6)
    assert unimodal_loss(a, b, 10.0).item() != pytest.approx(unimodal_loss(b, a, 10.0).item(), rel=1e-4)


def test_each_crossed_view_gets_a_gradient_and_meets_the_other_view_only() -> None:
    parts = [part.requires_grad_() for part in embeddings(6, 4, torch.float32, 4)]
    clip_loss_crossed(*parts, 10.0).backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in parts)
    image1, text1, image2, _ = parts
    other = embeddings(6, 9, torch.float32, 1)[0][:, :4]
    once = torch.autograd.grad(clip_loss_crossed(*parts, 10.0), image1)[0]
    swapped = torch.autograd.grad(clip_loss_crossed(image1, other, image2, parts[3], 10.0), image1)[0]
    assert torch.equal(once, swapped), "image 1 must not see caption 1"
    assert text1.grad is not None


def test_gradients_reach_the_logit_scale() -> None:
    a, b = embeddings(6, 4, torch.float32, 2)
    scale = torch.tensor(math.log(1 / 0.07), requires_grad=True)
    clip_loss(a, b, scale.exp()).backward()
    assert scale.grad is not None
    step = 1e-3
    up, down = (clip_loss(a, b, math.exp(math.log(1 / 0.07) + d)).item() for d in (step, -step))
    assert scale.grad.item() == pytest.approx((up - down) / (2 * step), rel=1e-2)


@pytest.mark.parametrize("shapes", [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((3,), (3,)), ((0, 4), (0, 4))])
def test_wrong_shapes_are_named(shapes: tuple) -> None:
    a, b = (torch.ones(shape) for shape in shapes)
    for loss, parts in ((clip_loss, (a, b)), (unimodal_loss, (a, b)), (clip_loss_crossed, (a, a, a, b))):
        with pytest.raises(ValueError, match=loss.__name__):
            loss(*parts, 1.0)
