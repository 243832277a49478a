"""A picture's fine pattern: each frequency over its usual amplitude, so that all weigh alike.

    w_i = the picture less the mean one, each frequency over its median amplitude in the data, at unit length

Natural pictures agree mostly in low frequencies, where nearly all their power lies (Field 1987). Once every frequency
weighs alike, two of them have about as much in common as noise, and what was laid over both stands out.
What must stay true: the median, not the mean, which the very pattern that many planted pictures share would raise;
flat pictures, which have no pattern, are zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import reference
from safeclip.signals.thumbnails import pixels

_SAMPLE = 4096
"""Pictures, at most, that the usual amplitudes are taken from."""
_FLAT = 1e-3
"""Standard deviation, of levels in 0..1, below which a picture is flat."""


@dataclass(frozen=True)
class Whitening:
    """mean: the mean picture (3, H, W). amplitude: the usual one (H, W // 2 + 1). Patterns lie where these do."""

    mean: Tensor
    amplitude: Tensor

    @classmethod
    def of(cls, thumbnails_NHWC: np.ndarray, device: torch.device | None = None) -> Whitening:
        """From these pictures, uint8 (N, H, W, 3), or from a random subset of them. Raises ValueError as `pixels`."""
        sample = pixels(thumbnails_NHWC[reference(len(thumbnails_NHWC), _SAMPLE)], device)
        mean = sample.mean(0)
        return cls(mean, torch.fft.rfft2(sample - mean).abs().flatten(0, 1).median(0).values)

    def __call__(self, thumbnails_BHWC: np.ndarray) -> Tensor:
        """Fine patterns, float32 (B, 3, H, W), of unit length."""
        picture = pixels(thumbnails_BHWC, self.mean.device)
        flat = picture.flatten(2).std(2).amax(1) < _FLAT
        least = float(self.amplitude.max()) * 1e-4
        even = torch.fft.irfft2(
            torch.fft.rfft2(picture - self.mean) / self.amplitude.clamp(min=least), s=picture.shape[2:]
        )
        return torch.nn.functional.normalize(even.flatten(1), dim=1).masked_fill(flat[:, None], 0.0).view_as(picture)
