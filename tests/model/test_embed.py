"""Embeddings for scoring: in parts as in one go, of unit length, and no trace left on the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safeclip.config import ModelConfig
from safeclip.data.image_views import clean_crop
from safeclip.model.build import build
from safeclip.model.embed import Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(build(ModelConfig(name="safeclip-emoji", precision="fp32")), torch.device("cpu"))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (30 + i % 9, 40 - i % 7, 3), np.uint8) for i in range(23)]


TEXTS = [f"a drawing of thing {i}" for i in range(23)]


@pytest.mark.parametrize("batch", [1, 5, 22, 24])
def test_parts_equal_one_go(embedder: Embedder, pictures: list[np.ndarray], batch: int) -> None:
    for whole, parts in (
        (embedder.images(pictures, batch=23), embedder.images(pictures, batch=batch)),
        (embedder.texts(TEXTS, batch=23), embedder.texts(TEXTS, batch=batch)),
    ):
        assert whole.shape == (23, 128)
        assert whole.dtype == torch.float32
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(whole.norm(dim=1), torch.ones(23))


def test_a_picture_is_embedded_as_its_centre_crop_normalised(embedder: Embedder, pictures: list[np.ndarray]) -> None:
    clip = embedder.clip
    crop = torch.from_numpy(clean_crop(pictures[3], 32).copy()).permute(2, 0, 1).float() / 255
    pixels = (crop - torch.tensor(clip.mean)[:, None, None]) / torch.tensor(clip.std)[:, None, None]
    clip.net.eval()
    with torch.no_grad():
        wanted = F.normalize(clip.net.encode_image(pixels[None]), dim=1)
    torch.testing.assert_close(embedder.images([pictures[3]]), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_embedding_leaves_the_model_as_it_was(embedder: Embedder, pictures: list[np.ndarray], training: bool) -> None:
    net = embedder.clip.net.train(training)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    assert not embedder.images(pictures[:4]).requires_grad
    assert net.training == training
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items()), "running means included"


def test_nothing_to_embed_gives_no_rows(embedder: Embedder) -> None:
    assert embedder.images([]).shape == embedder.texts([]).shape == (0, 128)
