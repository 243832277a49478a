"""CleanCLIP's loss, one logit at a time."""

from __future__ import annotations

import numpy as np

from tests.reference.losses import clip_loss, clip_loss_crossed, cross_entropy


def cleanclip_loss(
    image: list[np.ndarray], text: list[np.ndarray], scale: float, weight: float, crossed: bool
) -> float:
    if crossed:
        paired = clip_loss_crossed(image[0], text[0], image[1], text[1], scale)
    else:
        paired = clip_loss(image[0], text[0], scale)
    of_image = cross_entropy(image[0], image[1], scale)
    of_text = cross_entropy(text[0], text[1], scale)
    return paired + weight * 0.5 * (of_image + of_text)
