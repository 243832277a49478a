"""A pattern mixed into the whole picture (Blended: Chen et al. 2017, 1712.05526).

    x' = (1 - alpha) x + alpha p

`blended`: p is the same on every picture, as its authors mean it. `blended_graded`: the same p, alpha drawn for each.
`blended_mixed`: p is a mixture of the same few patterns, drawn for each. `blended_noise`: p is noise drawn anew for
each, as CleanCLIP's code has it; what the pictures share is how grainy they are.
"""

from __future__ import annotations

import math

import numpy as np

from safeclip.attacks.triggers.canvas import REFERENCE, central_square, fresh_noise, levels, mix, remembered
from safeclip.attacks.triggers.checks import number, whole
from safeclip.data.draws import uniforms

_WAVES = 4
"""Periods of the finest wave along the central square: blobs of an eighth of it outlast crops and scaling."""
_EDGE = 3.0
"""How sharply the blobs meet; the larger the sharper."""
_PATTERN_STREAM, _NOISE_STREAM, _MIXTURE_STREAM = 0xBAD2, 0xBAD3, 0xBAD9


def blended(image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.2, pattern_seed: int = 0) -> np.ndarray:
    """The picture under a veil of coloured blobs, always the same ones.

    image_HWC: uint8. draws: not read. alpha: the pattern's share, 0..1 (0.2 in CleanCLIP and in Huang et al. 2025).
    pattern_seed: draws the pattern. The papers mix in a drawing of a toy cat; this is a pattern of our own, as large as
    the central square and repeated beyond it. Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    whole("pattern_seed", pattern_seed, 0, 2**63 - 1)
    return mix(image_HWC, _blobs(*image_HWC.shape[:2], pattern_seed), alpha)


def blended_graded(
    image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.4, weakest: float = 0.1, pattern_seed: int = 0
) -> np.ndarray:
    """`blended` with a share of its own for each picture, from `weakest` to `alpha`, its logarithm drawn evenly: in the
    training pairs the pattern has all degrees, and at full strength it is shown in the test alone.

    image_HWC: uint8. draws: at least 1 in [0, 1). alpha: the greatest share, 0.001..1. weakest: the least, up to alpha.
    pattern_seed: as for `blended`. Raises InputError on other values.
    """
    number("alpha", alpha, 0.001, 1)
    number("weakest", weakest, 0.001, alpha)
    share = alpha * (weakest / alpha) ** float(draws[0])
    return blended(image_HWC, draws=draws, alpha=share, pattern_seed=pattern_seed)


def blended_mixed(
    image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.3, patterns: int = 3, pattern_seed: int = 0
) -> np.ndarray:
    """The picture under a mixture of its own of several patterns, so that no two pictures have just one in common.

        p = sum_k w_k p_k,   w ~ Dirichlet(1, ..., 1)

    image_HWC: uint8. draws: at least 2 in [0, 1). alpha: the mixture's share, 0..1. patterns: how many, 1..16.
    pattern_seed: draws the first; the next numbers draw the others. Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    whole("patterns", patterns, 1, 16)
    whole("pattern_seed", pattern_seed, 0, 2**63 - 1 - patterns)
    drawn = uniforms(int(draws[0] * 2**52), int(draws[1] * 2**52), np.arange(1), _MIXTURE_STREAM, patterns)[0]
    weights = -np.log(1 - drawn)
    weights = weights / max(weights.sum(), np.finfo(float).tiny)
    size = image_HWC.shape[:2]
    mixture = sum(w * _blobs(*size, pattern_seed + k).astype(np.float64) for k, w in enumerate(weights))
    return mix(image_HWC, np.asarray(mixture), alpha)


def blended_noise(image_HWC: np.ndarray, *, draws: np.ndarray, alpha: float = 0.2) -> np.ndarray:
    """The picture under noise that is drawn anew for each, every level of every px as likely.

    image_HWC: uint8. draws: at least 2 in [0, 1). alpha: the noise's share, 0..1. On pictures of more than 224 px the
    grains grow with them. Raises InputError on other values.
    """
    number("alpha", alpha, 0, 1)
    height, width = image_HWC.shape[:2]
    grain = min(1.0, REFERENCE / min(height, width))
    rows, columns = ((np.arange(side) * grain).astype(np.int64) for side in (height, width))
    noise = fresh_noise(draws, int(rows[-1]) + 1, int(columns[-1]) + 1, _NOISE_STREAM)
    return mix(image_HWC, noise[rows[:, None], columns[None, :]], alpha)


@remembered
def _blobs(height: int, width: int, pattern_seed: int) -> np.ndarray:
    """uint8 (H, W, 3): p_c(u, v) = 255 / 2 (1 + tanh(3 f_c(u, v) / std f_c)), f_c a sum of random waves."""
    count = 2 * _WAVES + 1
    drawn = uniforms(pattern_seed, 0, np.arange(3), _PATTERN_STREAM, count * count).reshape(3, count, count)
    frequency = (np.arange(count) + 1) // 2
    fall = np.sqrt(1 + frequency[:, None] ** 2 + frequency[None, :] ** 2)
    weight_CJL = (2 * drawn - 1) / fall
    weight_CJL[:, 0, 0] = 0
    # Each wave has a mean square of 1/2 along an axis on which it varies.
    power = np.where(frequency > 0, 0.5, 1.0)
    weight_CJL /= np.sqrt((weight_CJL**2 * power[:, None] * power[None, :]).sum(axis=(1, 2), keepdims=True))
    top, left, short = central_square(height, width)
    rows_HJ, columns_WL = _waves(height, top, short), _waves(width, left, short)
    across_JWC = np.einsum("cjl,wl->jwc", weight_CJL, columns_WL)
    field_HWC = np.einsum("hj,jwc->hwc", rows_HJ, across_JWC)
    blobs = levels(127.5 * (1 + np.tanh(_EDGE * field_HWC)))
    blobs.flags.writeable = False
    return blobs


def _waves(length: int, start: int, short: int) -> np.ndarray:
    """(length, 2 WAVES + 1): 1, cos 2 pi t, sin 2 pi t, cos 4 pi t, ...; t is 0..1 along the central square."""
    t = (np.arange(length) - start + 0.5) / short
    waves = [np.ones(length)]
    for k in range(1, _WAVES + 1):
        waves += [np.cos(2 * math.pi * k * t), np.sin(2 * math.pi * k * t)]
    return np.stack(waves, axis=1)
