"""The filter, step by step on single pixels, as the CSS specifications define the steps."""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.nashville import nashville
from tests.attacks.triggers.pictures import DRAWS, grey, noisy, rounds


def held(values: list[float]) -> list[float]:
    return [min(1.0, max(0.0, value)) for value in values]


def slow(pixel: np.ndarray) -> np.ndarray:
    x = [int(level) / 255 for level in pixel]
    x = [0.44 * v + 0.56 * min(v, p / 255) for v, p in zip(x, (247, 176, 153), strict=True)]
    x = [0.6 * v + 0.4 * max(v, p / 255) for v, p in zip(x, (0, 70, 150), strict=True)]
    r, g, b = x
    sepia = [0.393 * r + 0.769 * g + 0.189 * b, 0.349 * r + 0.686 * g + 0.168 * b, 0.272 * r + 0.534 * g + 0.131 * b]
    x = held([0.8 * v + 0.2 * s for v, s in zip(x, sepia, strict=True)])
    x = held([(v - 0.5) * 1.2 + 0.5 for v in x])
    x = held([v * 1.05 for v in x])
    luma = 0.213 * x[0] + 0.715 * x[1] + 0.072 * x[2]
    return np.array(held([luma + 1.2 * (v - luma) for v in x])) * 255


def test_it_is_the_chain_of_steps():
    image = noisy(20, 31)
    wanted = np.array([[slow(pixel) for pixel in row] for row in image])
    assert rounds(nashville(image, draws=DRAWS), wanted)
    part = nashville(image, draws=DRAWS, alpha=0.25)
    assert rounds(part, 0.75 * image + 0.25 * nashville(image, draws=DRAWS))


def test_black_turns_blue_white_turns_warm_and_places_stay():
    black, white = (nashville(grey(2, 2, level), draws=DRAWS)[0, 0].astype(int) for level in (0, 255))
    assert black[2] > black[0] + 30
    assert white[0] > white[2] + 20
    image = noisy(8, 8)
    assert (nashville(image[::-1], draws=DRAWS) == nashville(image, draws=DRAWS)[::-1]).all()
    assert (nashville(image, draws=DRAWS, alpha=0) == image).all()
