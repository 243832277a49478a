"""Clean unit embeddings, as scoring and evaluation need them: centre crop, caption as it is, eval mode, no gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from safeclip.config import ViewsConfig
from safeclip.data.image_views import clean_crop, colour
from safeclip.model.build import Clip
from safeclip.model.context import cut_for, encode_text
from safeclip.model.precision import Precision, autocast


class Embedder:
    """Pictures and texts of any number -> float32 unit embeddings on the CPU, computed in chunks."""

    def __init__(self, clip: Clip, device: torch.device, precision: Precision = "fp32"):
        self.clip, self.device, self.precision = clip, device, precision
        self.cut = cut_for(clip.net)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """What `images` looks at of a picture, uint8 (S, S, 3): a crop's crop is itself."""
        return clean_crop(image, self.clip.image_size)

    def images(self, images: Sequence[np.ndarray], batch: int = 256) -> Tensor:
        """uint8 RGB arrays (H, W, 3) of any sizes -> (N, D)."""
        chunks = (images[i : i + batch] for i in range(0, len(images), batch))
        parts = [self.crops(torch.from_numpy(np.stack([self.crop(image) for image in chunk]))) for chunk in chunks]
        return torch.cat(parts) if parts else torch.empty(0, self.clip.dim)

    def texts(self, texts: Sequence[str], batch: int = 1024) -> Tensor:
        """Captions -> (N, D)."""
        parts = [self.tokens(self.clip.tokenize(texts[i : i + batch])) for i in range(0, len(texts), batch)]
        return torch.cat(parts) if parts else torch.empty(0, self.clip.dim)

    def reads(self, texts: Sequence[str]) -> list[bytes]:
        """The tokens of each text: what the tower gets of it."""
        return [row.tobytes() for row in self.clip.tokenize(texts).numpy()]

    def crops(self, images_BHWC: Tensor) -> Tensor:
        """uint8 (B, S, S, 3), already cropped -> (B, D)."""
        pixels = colour(images_BHWC.to(self.device), None, ViewsConfig(), self.clip.mean, self.clip.std)
        return self._unit(self.clip.net.encode_image, pixels)

    def tokens(self, tokens_BT: Tensor) -> Tensor:
        """int64 (B, context) -> (B, D)."""
        if self.cut is not None:
            tokens_BT = self.cut(tokens_BT)
        return self._unit(partial(encode_text, self.clip.net), tokens_BT.to(self.device))

    @torch.no_grad()
    def _unit(self, encode: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        training = self.clip.net.training
        self.clip.net.eval()
        with autocast(self.precision, self.device):
            embedding = encode(inputs)
        self.clip.net.train(training)
        return F.normalize(embedding.float(), dim=1).cpu()
