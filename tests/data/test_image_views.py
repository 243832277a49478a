"""Crops and colours against slow twins that work on one picture at a time, in NumPy, step by step."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from safeclip.config import ViewsConfig
from safeclip.data import image_views
from safeclip.data.draws import uniforms
from safeclip.data.image_views import COLOUR_DRAWS, CROP_DRAWS, clean_crop, colour, random_crop

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
ALWAYS = ViewsConfig(flip=1.0, jitter_share=1.0, grey_share=0.0, blur_share=1.0, blur_sigma=(1.0, 9.0))
STILL = ViewsConfig(flip=0.0, jitter_share=0.0, grey_share=0.0, blur_share=0.0)
LAST = 1 - 2**-53
draw = st.floats(0, LAST)


def pictures(count: int = 6, height: int = 24, width: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def draws(count: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(uniforms(seed, 1, np.arange(count), 10, COLOUR_DRAWS).astype(np.float32))


# ---- colour -------------------------------------------------------------------------------------------------------


def slow_colour(image: np.ndarray, d: np.ndarray, views: ViewsConfig) -> np.ndarray:
    """One view, one step after the other. Returns (3, H, W)."""
    x = image.astype(np.float64) / 255
    luma = np.array([0.299, 0.587, 0.114])
    if d[0] < views.flip:
        x = x[:, ::-1]
    if d[1] < views.jitter_share:
        brightness, contrast, saturation, hue = (j * (2 * d[2 + i] - 1) for i, j in enumerate(views.jitter))
        x = x * (1 + brightness)
        x = (1 + contrast) * x + (1 - (1 + contrast)) * (x @ luma).mean()
        x = (1 + saturation) * x + (1 - (1 + saturation)) * (x @ luma)[..., None]
        turned = np.empty_like(x)
        yiq = np.array([luma, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
        for place in np.ndindex(*x.shape[:2]):
            y, i, q = yiq @ x[place]
            angle = -2 * math.pi * hue  # HSV counts red, yellow, green; YIQ's plane the other way round
            i, q = i * math.cos(angle) - q * math.sin(angle), i * math.sin(angle) + q * math.cos(angle)
            turned[place] = np.linalg.solve(yiq, [y, i, q])
        x = turned
    if d[6] < views.grey_share:
        x = np.repeat((x @ luma)[..., None], 3, axis=2)
    x = x.clip(0, 1)
    if d[7] < views.blur_share:
        side = x.shape[0]
        sigma = (views.blur_sigma[0] + (views.blur_sigma[1] - views.blur_sigma[0]) * d[8]) * side / 224
        reach = min(math.ceil(3 * views.blur_sigma[1] * side / 224), side - 1)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        kernel /= kernel.sum()
        for axis in (0, 1):
            padding = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
            padded = np.pad(x, padding, mode="reflect")
            x = sum(w * np.take(padded, np.arange(side) + t, axis=axis) for t, w in enumerate(kernel))
    return ((x - MEAN) / STD).transpose(2, 0, 1)


@pytest.mark.parametrize(
    "views",
    [
        ViewsConfig(),
        ViewsConfig(blur_share=0.0),
        ALWAYS,
        ViewsConfig(jitter=(1.0, 1.0, 1.0, 0.5), jitter_share=1.0, grey_share=0.5),
        ViewsConfig(blur_share=1.0, blur_sigma=(30.0, 60.0)),
    ],
    ids=["config", "no blur", "always", "strongest", "wide blur"],
)
def test_colour_equals_the_slow_twin(views: ViewsConfig) -> None:
    images, d = pictures(24, 20, 20), draws(24, seed=3)
    found = colour(torch.from_numpy(images), d, views, MEAN, STD).numpy()
    expected = np.stack([slow_colour(i, u, views) for i, u in zip(images, d.numpy().astype(np.float64), strict=True)])
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_without_draws_colour_only_normalises() -> None:
    images = pictures()
    found = colour(torch.from_numpy(images), None, ALWAYS, MEAN, STD).numpy()
    np.testing.assert_allclose(found, ((images / 255 - MEAN) / STD).transpose(0, 3, 1, 2), atol=2e-6)


def test_the_config_that_changes_nothing_equals_no_draws() -> None:
    images = torch.from_numpy(pictures())
    clean = colour(images, None, STILL, MEAN, STD)
    torch.testing.assert_close(colour(images, draws(), STILL, MEAN, STD), clean, atol=1e-5, rtol=0)


@pytest.mark.parametrize("views", [None, STILL, ALWAYS, ViewsConfig()])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_colour_returns_float32_channels_last(views: ViewsConfig | None, count: int) -> None:
    found = colour(torch.from_numpy(pictures(count)), draws(count) if views else None, views or STILL, MEAN, STD)
    assert found.shape == (count, 3, 24, 24)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("value", [0.0, 0.5, float(np.nextafter(np.float32(1), np.float32(0))), 1.0])
def test_extreme_draws_are_safe(value: float) -> None:
    for views in (ViewsConfig(), ALWAYS, ViewsConfig(jitter=(1.0, 1.0, 1.0, 1.0), blur_sigma=(1e-6, 1e-6))):
        found = colour(torch.from_numpy(pictures()), torch.full((6, COLOUR_DRAWS), value), views, MEAN, STD)
        low, high = ((level - torch.tensor(MEAN)) / torch.tensor(STD) for level in (0.0, 1.0))
        assert (found >= low[:, None, None] - 1e-4).all()
        assert (found <= high[:, None, None] + 1e-4).all()


def test_a_view_does_not_depend_on_the_rest_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    images, d = torch.from_numpy(pictures(13)), draws(13)
    whole = colour(images, d, ViewsConfig(), MEAN, STD)
    alone = torch.cat([colour(images[i : i + 1], d[i : i + 1], ViewsConfig(), MEAN, STD) for i in range(13)])
    torch.testing.assert_close(alone, whole, atol=1e-6, rtol=0)
    monkeypatch.setattr(image_views, "_CPU_FLOATS", 5 * 24 * 24 * 3)
    torch.testing.assert_close(colour(images, d, ViewsConfig(), MEAN, STD), whole, atol=1e-6, rtol=0)


def test_colour_is_the_same_twice_and_leaves_its_input_alone() -> None:
    images, d = torch.from_numpy(pictures()), draws()
    before, draws_before = images.clone(), d.clone()
    first, second = (colour(images, d, ALWAYS, MEAN, STD) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(images, before)
    assert torch.equal(d, draws_before)


def test_hue_turns_as_far_as_hsv_says_on_average_and_keeps_luma() -> None:
    views = ViewsConfig(flip=0.0, jitter=(0.0, 0.0, 0.0, 0.1), jitter_share=1.0, grey_share=0.0, blur_share=0.0)
    ring = np.array([colorsys.hsv_to_rgb(i / 36, 0.3, 0.6) for i in range(36)])
    images = torch.from_numpy(np.rint(ring * 255).astype(np.uint8)[:, None, None, :])
    for share in (-0.1, 0.1):
        d = torch.zeros(36, COLOUR_DRAWS)
        d[:, 5] = 0.5 + 5 * share
        found = colour(images, d, views, (0.0,) * 3, (1.0,) * 3)[:, :, 0, 0].double().numpy()
        luma = np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(found @ luma, ring @ luma, atol=2e-3)
        turns = [colorsys.rgb_to_hsv(*rgb)[0] - i / 36 for i, rgb in enumerate(found.tolist())]
        assert np.mean([(turn + 0.5) % 1 - 0.5 for turn in turns]) == pytest.approx(share, abs=0.01)


def test_shares_are_the_shares_of_views_that_change() -> None:
    images, d = torch.from_numpy(pictures(1).repeat(2000, axis=0)), draws(2000)
    for field, share in (("flip", 0.3), ("jitter_share", 0.8), ("grey_share", 0.2), ("blur_share", 0.6)):
        settings_ = {"flip": 0.0, "jitter_share": 0.0, "grey_share": 0.0, "blur_share": 0.0} | {field: share}
        found = colour(images, d, ViewsConfig(**settings_, blur_sigma=(5.0, 9.0)), MEAN, STD)
        still = colour(images[:1], None, STILL, MEAN, STD)
        changed = ((found - still).abs().amax((1, 2, 3)) > 1e-2).float().mean().item()
        assert changed == pytest.approx(share, abs=0.04)


def test_blur_is_in_pixels_of_a_224_pixel_picture() -> None:
    point = torch.zeros(1, 112, 112, 3, dtype=torch.uint8)
    point[0, 56, 56] = 255
    views = ViewsConfig(flip=0.0, jitter_share=0.0, grey_share=0.0, blur_share=1.0, blur_sigma=(4.0, 4.0))
    spread = colour(point, torch.zeros(1, COLOUR_DRAWS), views, (0.0,) * 3, (1.0,) * 3)[0, 0].double()
    offsets = torch.arange(112) - 56
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    assert (spread.sum(0) * offsets**2).sum().sqrt().item() == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize("views", [ViewsConfig(), STILL])
def test_shapes_and_flow_never_depend_on_data(views: ViewsConfig) -> None:
    """Fake tensors raise where code looks at a value (.item(), `if tensor`): on a GPU that is a host sync."""
    image_views._constant.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(8, 16, 16, 3, dtype=torch.uint8)
        assert colour(images, torch.empty(8, COLOUR_DRAWS), views, MEAN, STD).shape == (8, 3, 16, 16)
    image_views._constant.cache_clear()


def test_autocast_does_not_coarsen_the_views() -> None:
    images, d = torch.from_numpy(pictures()), draws()
    plain = colour(images, d, ALWAYS, MEAN, STD)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(colour(images, d, ALWAYS, MEAN, STD), plain)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_colour_on_the_gpu_equals_the_cpu_without_a_host_sync() -> None:
    images, d = torch.from_numpy(pictures()), draws()
    expected = colour(images, d, ViewsConfig(), MEAN, STD)
    on_gpu, draws_on_gpu = images.cuda(), d.cuda()
    colour(on_gpu, draws_on_gpu, ViewsConfig(), MEAN, STD)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = colour(on_gpu, draws_on_gpu, ViewsConfig(), MEAN, STD)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found.cpu(), expected, atol=1e-2, rtol=0)


# ---- crops --------------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 500),
    st.integers(1, 500),
    st.tuples(draw, draw, draw, draw),
    st.sampled_from([(0.08, 1.0), (0.5, 0.9), (1.0, 1.0), (1e-4, 1e-4)]),
)
def test_a_crop_lies_inside_its_picture_and_in_its_ranges(width, height, d, scale) -> None:  # type: ignore[no-untyped-def]
    left, top, w, h = image_views._crop_box(width, height, scale, np.array(d))
    assert 0 <= left <= left + w <= width
    assert 0 <= top <= top + h <= height
    assert w >= 1
    assert h >= 1
    if width / height > 4 / 3 or width / height < 3 / 4:
        scale = (0.0, scale[1])  # a long thin picture may have no crop of this share at a ratio up to 4/3
    assert (w + 0.5) * (h + 0.5) >= scale[0] * width * height - 1e-6
    if min(w, h) > 1:  # a crop has at least one pixel
        assert (w - 0.5) * (h - 0.5) <= scale[1] * width * height + 1e-6
        assert (w - 0.5) / (h + 0.5) <= 4 / 3 + 1e-9
        assert (w + 0.5) / (h - 0.5) >= 3 / 4 - 1e-9


def test_crops_cover_their_ranges_evenly() -> None:
    d = uniforms(0, 0, np.arange(4000), 1, CROP_DRAWS)
    boxes = np.array([image_views._crop_box(1000, 1000, (0.1, 0.5), row) for row in d], float)
    left, top, w, h = boxes.T
    for values, low, high in ((w * h / 1e6, 0.1, 0.5), (np.log(w / h), math.log(3 / 4), math.log(4 / 3))):
        shares = np.histogram(values, bins=8, range=(low, high))[0] / 4000
        assert np.abs(shares - 1 / 8).max() < 0.02
    for place, room in ((left, 1000 - w), (top, 1000 - h)):
        shares = np.histogram(place / room, bins=8, range=(0, 1))[0] / 4000
        assert np.abs(shares - 1 / 8).max() < 0.02


@pytest.mark.parametrize("value", [0.0, LAST, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (7, 5), (40, 40), (300, 400)])
def test_extreme_draws_and_shapes_give_a_crop(value: float, shape: tuple[int, int]) -> None:
    image = pictures(1, *shape)[0]
    found = random_crop(image, 32, (0.08, 1.0), np.full(CROP_DRAWS, value))
    assert found.shape == (32, 32, 3)
    assert found.dtype == np.uint8


def test_a_crop_is_the_box_resized() -> None:
    image = pictures(1, 50, 60)[0]
    d = np.array([0.3, 0.7, 0.9, 0.2])
    left, top, w, h = image_views._crop_box(60, 50, (0.08, 1.0), d)
    box = Image.fromarray(image[top : top + h, left : left + w])
    wanted = np.asarray(box.resize((32, 32), Image.BILINEAR)).astype(int)
    assert np.abs(random_crop(image, 32, (0.08, 1.0), d) - wanted).max() <= 1


def test_the_whole_square_is_a_crop_at_scale_one() -> None:
    image = pictures(1, 32, 32)[0]
    np.testing.assert_array_equal(random_crop(image, 32, (1.0, 1.0), np.full(CROP_DRAWS, 0.5)), image)


def test_a_crop_of_a_fine_pattern_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    found = random_crop(stripes, 32, (1.0, 1.0), np.zeros(CROP_DRAWS))
    assert np.abs(found.astype(int) - 128).max() < 20


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 32, 33]))
def test_the_clean_crop_is_the_preprocessing_of_clip(width: int, height: int, size: int) -> None:
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 3, y * 3, x + y], axis=2).astype(np.uint8)
    short = min(width, height)  # torchvision's Resize(size, BICUBIC) and CenterCrop(size)
    wide, high = int(size * width / short), int(size * height / short)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    whole = Image.fromarray(image).resize((wide, high), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((left, top, left + size, top + size)))
    assert np.abs(clean_crop(image, size).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1, 50_000), (50_000, 1), (1, 1)])
def test_the_clean_crop_of_a_long_thin_picture_costs_nothing(shape: tuple[int, int]) -> None:
    assert clean_crop(np.full((*shape, 3), 7, np.uint8), 224).tolist() == np.full((224, 224, 3), 7).tolist()


def test_a_picture_of_the_right_size_is_its_own_clean_crop() -> None:
    image = pictures(1, 32, 32)[0]
    assert clean_crop(image, 32) is image
