"""A picture's fine pattern: each frequency over its usual amplitude, so that all weigh alike.

    w_i = the picture less the mean one, each frequency over its median amplitude in the data, at unit length

Natural pictures agree mostly in low frequencies, where nearly all their power lies (Field 1987). Once every frequency
weighs alike, two of them have about as much in common as noise, and what was laid over both stands out.
What must stay true: the median, not the mean, which the very pattern that many planted pictures share would raise;
flat pictures, which have no pattern, are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from safeclip.signals.nearest import drawn
from safeclip.signals.thumbnails import pixels

_SAMPLE = 4096
"""Pictures, at most, that the usual amplitudes are taken from: drawn as all of them have it, or whoever knows where his
own lie could make his pattern the usual one."""
_STRONG = 1.5
"""A pattern is strong from so many times the usual strength on."""
_FLAT = 1e-3
"""Standard deviation, of levels in 0..1, below which a picture is flat."""


@dataclass(frozen=True)
class Whitening:
    """mean: the mean picture (3, H, W). amplitude: the usual one (H, W // 2 + 1). strength: the usual length of a
    pattern. Patterns lie where these do."""

    mean: Tensor
    amplitude: Tensor
    strength: float

    @classmethod
    def of(cls, thumbnails_NHWC: np.ndarray, device: torch.device | None = None) -> Whitening:
        """From these pictures, uint8 (N, H, W, 3), or from a random subset of them. Raises ValueError as `pixels`."""
        sample = pixels(thumbnails_NHWC[drawn(thumbnails_NHWC, _SAMPLE)], device)
        mean = sample.mean(0)
        amplitude = torch.fft.rfft2(sample - mean).abs().flatten(0, 1).median(0).values
        length_B = cls(mean, amplitude, 0.0)._even(sample).norm(dim=1)
        return cls(mean, amplitude, float(length_B[length_B > 0].median()) if length_B.any() else 1.0)

    def __call__(self, thumbnails_BHWC: np.ndarray, strong: bool = False) -> Tensor:
        """Fine patterns, float32 (B, 3, H, W), of unit length; with `strong`, those that are not stronger than usual
        are as much shorter."""
        picture = pixels(thumbnails_BHWC, self.mean.device)
        even_BP = self._even(picture)
        length_B1 = even_BP.norm(dim=1, keepdim=True).clamp(min=max(1e-12, _STRONG * self.strength if strong else 0.0))
        pattern: Tensor = even_BP / length_B1
        return pattern.view_as(picture)

    def of_mean(self) -> Tensor:
        """The mean picture's own fine pattern, float32 (3HW,), of unit length, or zeros. Pictures without detail
        have its negative in common, since it was taken off them."""
        mean_13HW = (self.mean - self.mean.mean((1, 2), keepdim=True))[None]
        return torch.nn.functional.normalize(replace(self, mean=torch.zeros_like(self.mean))._even(mean_13HW)[0], dim=0)

    def _even(self, picture_B3HW: Tensor) -> Tensor:
        """Each frequency over its usual amplitude, (B, 3HW); zeros for flat pictures."""
        flat_B = picture_B3HW.flatten(2).std(2).amax(1) < _FLAT
        least = float(self.amplitude.max()) * 1e-4
        spectrum = torch.fft.rfft2(picture_B3HW - self.mean) / self.amplitude.clamp(min=least)
        even_BP: Tensor = torch.fft.irfft2(spectrum, s=picture_B3HW.shape[2:]).flatten(1)
        return even_BP.masked_fill(flat_B[:, None], 0.0)
