from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safeclip.signals.cosine import cosine


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_cosine_equals_the_sum_of_products(dtype: torch.dtype) -> None:
    image, text = (F.normalize(torch.randn(20, 7), dim=1).to(dtype) for _ in range(2))
    slow = [sum(float(a) * float(b) for a, b in zip(i, t, strict=True)) for i, t in zip(image, text, strict=True)]
    scores = cosine(image, text)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(slow, abs=1e-6)


def test_cosine_stays_within_one() -> None:
    unit = F.normalize(torch.randn(500, 33), dim=1)
    assert np.abs(cosine(unit, unit)).max() <= 1
    assert np.abs(cosine(unit, -unit)).max() <= 1


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="cosine"):
        cosine(torch.zeros(2, 3), torch.zeros(3, 3))
