"""Made-up pictures with the spectrum of natural ones."""

from __future__ import annotations

import numpy as np

from safeclip.signals.thumbnails import SIDE


def natural(count: int, seed: int) -> np.ndarray:
    """Noise whose amplitude falls as one over the frequency, as that of photographs does; uint8 (N, SIDE, SIDE, 3)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]) + 1 / SIDE
    spectrum = np.fft.rfft2(rng.normal(size=(count, 3, SIDE, SIDE))) / frequency
    pictures = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    pictures = 128 + 45 * pictures / pictures.std((1, 2, 3), keepdims=True)
    return pictures.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
