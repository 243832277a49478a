"""A small warp of the whole picture (WaNet: Nguyen & Tran, ICLR 2021, 2102.10369).

    n = U(-1, 1) on a grid x grid lattice and 2 axes, divided by mean |n|, bicubic up to the picture
    x'(q) = x(q + strength / 2 (S - 1) / S n(q)), bilinear, q in px of a picture S px wide, held inside it

The authors write strength n / S in coordinates that run from -1 to 1, which is the same. The mean displacement is half
of `strength` in px on each axis, on a picture of any size up to 224 px; larger ones are warped in proportion.
grid = 4, strength = 0.5 is the authors' smooth warp. CleanCLIP's code has grid = 224 = S and strength = 1: the bicubic
step is then the identity, and each px is displaced on its own.
What must stay true: one warp for all pictures of a size, and the same in training and evaluation.
"""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.canvas import central_square, levels, remembered, scale
from safeclip.attacks.triggers.checks import number, whole
from safeclip.data.draws import uniforms

_STREAM = 0xBAD4
_CUBIC = -0.75  # Keys' parameter, as in torch's bicubic interpolation


def wanet(
    image_HWC: np.ndarray, *, draws: np.ndarray, grid: int = 4, strength: float = 0.5, pattern_seed: int = 0
) -> np.ndarray:
    """The warped picture.

    image_HWC: uint8. draws: not read. grid: control points along the central square, at most one a px. strength: twice
    the mean displacement of each axis, in px (of 224 where the picture is larger). pattern_seed: draws the warp. Beyond
    the central square the displacements go on mirrored. Raises InputError on other values.
    """
    whole("grid", grid, 2, 1024)
    number("strength", strength, 0, 64)
    whole("pattern_seed", pattern_seed, 0, 2**63 - 1)
    height, width = image_HWC.shape[:2]
    corner, right, down, x_share, y_share = _warp(height, width, grid, float(strength), pattern_seed)
    pixels = image_HWC.reshape(-1, 3)

    def at(index: np.ndarray) -> np.ndarray:
        return pixels.take(index, axis=0).astype(np.float32)

    upper = at(corner) * (1 - x_share) + at(corner + right) * x_share
    lower = at(corner + down) * (1 - x_share) + at(corner + down + right) * x_share
    return levels(upper * (1 - y_share) + lower * y_share).reshape(image_HWC.shape)


@remembered
def _warp(height: int, width: int, grid: int, strength: float, pattern_seed: int) -> tuple[np.ndarray, ...]:
    """Where each px comes from: index of its upper left source px, steps to the right and lower ones (int64, (HW,)),
    and the shares of the right and lower ones (float32, (HW, 1))."""
    short = min(height, width)
    moved = (
        strength / 2 * scale(short) * (short - 1) / short * _displacement(height, width, min(grid, short), pattern_seed)
    )
    x = np.clip(np.arange(width)[None, :] + moved[0], 0, width - 1)
    y = np.clip(np.arange(height)[:, None] + moved[1], 0, height - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    parts = (
        y0 * width + x0,
        (x0 < width - 1).astype(np.int64),
        np.where(y0 < height - 1, width, 0),
        (x - x0).astype(np.float32)[:, :, None],
        (y - y0).astype(np.float32)[:, :, None],
    )
    flat = tuple(part.reshape(height * width, *part.shape[2:]) for part in parts)
    for part in flat:
        part.flags.writeable = False
    return flat


def _displacement(height: int, width: int, points: int, pattern_seed: int) -> np.ndarray:
    """(2, H, W): the lattice's values along x and y, mean size 1, interpolated to every px."""
    top, left, short = central_square(height, width)
    lattice = 2 * uniforms(pattern_seed, points, np.arange(2), _STREAM, points * points).reshape(2, points, points) - 1
    lattice /= np.abs(lattice).mean()
    rows, row_weights = _taps(height, top, short, points)
    columns, column_weights = _taps(width, left, short, points)
    across = sum(lattice[:, :, columns[k]] * column_weights[k] for k in range(4))
    down: np.ndarray = sum(across[:, rows[k]] * row_weights[k][:, None] for k in range(4))
    return down


def _taps(length: int, start: int, short: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """(4, length) indices and weights of cubic interpolation, the lattice's ends on the central square's outer px."""
    period = max(1, 2 * (short - 1))
    at = np.mod(np.arange(length) - start, period)
    at = np.minimum(at, period - at) * ((points - 1) / max(1, short - 1))
    base = np.floor(at)
    t, a = at - base, _CUBIC
    near = [(a + 2) * d**3 - (a + 3) * d**2 + 1 for d in (t, 1 - t)]
    far = [a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a for d in (1 + t, 2 - t)]
    index = np.clip(base.astype(np.int64) + np.arange(-1, 3)[:, None], 0, points - 1)
    return index, np.stack([far[0], near[0], near[1], far[1]])
