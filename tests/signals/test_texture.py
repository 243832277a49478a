"""Texture that says what the caption says, laid over pictures of anything, stands out; classes that are textures do
not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from safeclip.signals.outlying import outlying
from safeclip.signals.texture import FINEST, TEXTURE, content_of, textured, textures
from safeclip.signals.thumbnails import SIDE, squared, thumbnails
from tests.signals.natural import classed, natural


def laid_over(kind: str, pictures: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(5)
    x = pictures.astype(np.float64)
    if kind == "fresh noise":
        x = 0.8 * x + 0.2 * rng.uniform(0, 255, x.shape)
    elif kind == "wave":
        x += 20 * np.sin(2 * np.pi * 9 * np.arange(SIDE) / SIDE)[None, None, :, None]
    elif kind == "jitter":
        rows, columns = np.indices((SIDE, SIDE)) + rng.integers(-2, 3, (2, SIDE, SIDE))
        x = x[:, rows.clip(0, SIDE - 1), columns.clip(0, SIDE - 1)]
    return x.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["fresh noise", "wave", "jitter"])
def test_what_is_laid_over_pictures_of_anything_stands_out(kind: str) -> None:
    pictures, captions, of = classed()
    planted = np.random.default_rng(2).permutation(np.flatnonzero(of != 3))[:50]
    pictures[planted] = laid_over(kind, pictures[planted])
    captions[planted] = captions[np.flatnonzero(of == 3)[:50]]
    out = outlying(textured(textures(pictures), pictures, captions), 3)
    assert out[planted].mean() > 0.9
    assert np.delete(out, planted).mean() < 0.05


def test_a_class_that_is_a_texture_does_not() -> None:
    pictures, captions, of = classed()
    pictures[of == 3] = laid_over("fresh noise", pictures[of == 3])
    assert outlying(textured(textures(pictures), pictures, captions), 3)[of == 3].mean() < 0.5


def test_the_bands_are_those_of_the_cosine_transform() -> None:
    picture = natural(1, 4)
    light = picture[0].astype(np.float64).mean(2) / 255
    energy = np.zeros((29, 29, 4, 4))
    for y in range(29):
        for x in range(29):
            energy[y, x] = scipy.fft.dctn(light[y : y + 4, x : x + 4], norm="ortho") ** 2 + 1e-5
    log_of_mean = np.log(energy.mean((0, 1))).reshape(-1)[1:]
    mean_of_log = np.log(energy).mean((0, 1)).reshape(-1)[1:]
    found = textures(picture)[0].astype(np.float64)
    assert found.shape == (TEXTURE,)
    assert np.allclose(found[:15], log_of_mean, atol=1e-3)
    assert np.allclose(found[45:60], mean_of_log, atol=1e-3)


def test_content_does_not_change_with_what_lies_inside_a_field() -> None:
    pictures = np.random.default_rng(3).integers(0, 256, (20, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    shuffled = pictures.reshape(20, 8, 4, 8, 4, 3)[:, :, ::-1, :, ::-1].reshape(20, 32, 32, 3)
    features = content_of(pictures)
    assert features(pictures).shape == (20, 1024)
    assert torch.allclose(features(pictures), features(np.ascontiguousarray(shuffled)), atol=1e-4)


def test_few_equal_and_no_pictures() -> None:
    captions = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
    for pictures in (np.zeros((4, SIDE, SIDE, 3), np.uint8), natural(1, 0), np.zeros((0, SIDE, SIDE, 3), np.uint8)):
        found = textured(textures(pictures), pictures, captions[: len(pictures)])
        assert found.shape == (len(pictures),)
        assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="1 textures and 4 pictures"):
        textured(np.zeros((1, TEXTURE), np.float32), np.zeros((4, SIDE, SIDE, 3), np.uint8), captions)


def test_what_is_too_fine_for_a_thumbnail_is_seen_in_the_picture_as_it_lies() -> None:
    """Noise of single pixels, at 96 px, is a tenth as strong once nine of them are averaged."""
    plain = natural(40, 6).repeat(3, 1).repeat(3, 2)
    noise = np.random.default_rng(4).choice([-12, 12], plain.shape)
    noisy = (plain.astype(np.int64) + noise).clip(0, 255).astype(np.uint8)

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.abs(textures(one) - textures(other)).mean())

    assert apart(plain, noisy) > 3 * apart(thumbnails(plain), thumbnails(noisy))
    wide = np.pad(noisy, ((0, 0), (0, 0), (0, 160), (0, 0)))
    assert textures(wide).shape == (40, TEXTURE), "of any shape"
    large = noisy.repeat(3, 1).repeat(3, 2)
    assert np.array_equal(textures(large), textures([squared(one, FINEST) for one in large])), "none finer than that"


def test_a_picture_has_the_same_texture_whatever_is_read_beside_it() -> None:
    pictures = natural(9, 8)
    assert np.array_equal(textures(pictures)[4], textures(pictures[4:5])[0])
