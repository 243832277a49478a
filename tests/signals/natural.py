"""Made-up pictures with the spectrum of natural ones."""

from __future__ import annotations

import numpy as np
import torch

from safeclip.signals.thumbnails import SIDE


def natural(count: int, seed: int) -> np.ndarray:
    """Noise whose amplitude falls as one over the frequency, as that of photographs does; uint8 (N, SIDE, SIDE, 3)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]) + 1 / SIDE
    spectrum = np.fft.rfft2(rng.normal(size=(count, 3, SIDE, SIDE))) / frequency
    pictures = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    pictures = 128 + 45 * pictures / pictures.std((1, 2, 3), keepdims=True)
    return pictures.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def classed(count: int = 1000) -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
    """Pictures of 10 classes, each with a layout of its own, under captions of their own, and each pair's class."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 10, count)
    layout = rng.uniform(-60, 60, (10, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    pictures = (natural(count, 1) * 0.6 + 50 + layout[kind]).clip(0, 255).astype(np.uint8)
    vectors = rng.normal(size=(10, 64))[kind] + 0.4 * rng.normal(size=(count, 64))
    return pictures, torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1), kind
