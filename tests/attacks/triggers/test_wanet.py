"""The warp, against the authors' own operations in torch: bicubic upsampling, an identity grid, grid_sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safeclip.attacks.triggers.wanet import _STREAM, _displacement, wanet
from safeclip.data.draws import uniforms
from tests.attacks.triggers.pictures import DRAWS, noisy, rounds

EXACT = 1e-9


def lattice(points: int, seed: int = 0) -> torch.Tensor:
    drawn = 2 * uniforms(seed, points, np.arange(2), _STREAM, points * points).reshape(1, 2, points, points) - 1
    return torch.from_numpy(drawn / np.abs(drawn).mean())


def in_torch(image: np.ndarray, grid: int, strength: float, seed: int = 0) -> np.ndarray:
    """Square pictures, as the paper has them; levels before rounding."""
    side = len(image)
    noise = F.interpolate(lattice(grid, seed), size=side, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    line = torch.linspace(-1, 1, side, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    where = torch.clamp(torch.stack((x, y), 2)[None] + strength * noise / side, -1, 1)
    pixels = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
    return F.grid_sample(pixels, where, mode="bilinear", align_corners=True)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("side", [8, 32, 57, 224])
@pytest.mark.parametrize(("grid", "strength"), [(4, 0.5), (4, 6.0), (8, 1.0), (224, 1.0)])
def test_it_is_the_authors_warp(side, grid, strength):
    image = noisy(side, side)
    wanted = in_torch(image, min(grid, side), strength, seed=5)
    warped = wanet(image, draws=DRAWS, grid=grid, strength=strength, pattern_seed=5)
    assert rounds(warped, wanted)
    assert (warped != image).mean() > 0.3


def test_the_mean_displacement_is_half_the_strength_in_px():
    for side in (32, 224):
        pixel = _displacement(side, side, side, 0)
        assert abs(np.abs(pixel).mean() - 1) < EXACT  # times strength / 2
        assert np.abs(pixel).max() < 2.1
        assert 0.4 < np.abs(_displacement(side, side, 4, 0)).mean() < 1.2


def test_a_coarse_lattice_is_smooth_and_a_lattice_of_px_is_white():
    smooth, pixel = _displacement(224, 224, 4, 0)[0], _displacement(224, 224, 224, 0)[0]
    assert np.abs(np.diff(smooth, axis=1)).max() < 0.1
    assert abs(np.corrcoef(pixel[:, :-1].reshape(-1), pixel[:, 1:].reshape(-1))[0, 1]) < 0.02


def test_the_lattice_meets_the_central_square_and_goes_on_mirrored():
    square, wide = _displacement(40, 40, 4, 0), _displacement(40, 100, 4, 0)
    assert np.abs(wide[:, :, 30:70] - square).max() < EXACT
    assert np.abs(wide[:, :, 70:] - square[:, :, 38:8:-1]).max() < EXACT
    assert (
        np.abs(square[:, [0, 0, -1, -1], [0, -1, 0, -1]] - lattice(4)[0, :, [0, 0, 3, 3], [0, 3, 0, 3]].numpy()).max()
        < EXACT
    )


def test_pictures_of_more_than_224_px_are_warped_in_proportion():
    ramp = np.repeat(np.linspace(0, 255, 896)[None, :, None], 896, 0).repeat(3, 2).astype(np.uint8)
    small = ramp[::4, ::4]
    moved = [wanet(x, draws=DRAWS, strength=20.0).astype(float) - x for x in (small, ramp)]
    assert np.abs(moved[0] - moved[1][::4, ::4])[8:-8, 8:-8].max() < 6


def test_one_warp_for_all_pictures_and_another_for_another_seed():
    image = noisy(32, 32)
    warped = wanet(image, draws=DRAWS, strength=4.0)
    assert (warped == wanet(image, draws=np.array([0.9, 0.0]), strength=4.0)).all()
    assert (warped != wanet(image, draws=DRAWS, strength=4.0, pattern_seed=1)).any()
    assert (wanet(image, draws=DRAWS, strength=0) == image).all()


def test_levels_stay_within_those_of_the_picture():
    image = noisy(32, 48) // 4 + 100
    warped = wanet(image, draws=DRAWS, strength=64.0)
    assert image.min() <= warped.min()
    assert warped.max() <= image.max()
