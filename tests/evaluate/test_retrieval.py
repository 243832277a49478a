from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safeclip.errors import InputError
from safeclip.evaluate.retrieval import partner_ranks, retrieval
from tests.evaluate.fakes import Constant


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


class Table:
    """The k-th different text is the k-th row."""

    def __init__(self, rows):
        self.rows, self.seen = rows, []

    def texts(self, texts, batch=1024):
        self.seen = list(texts)
        return self.rows[: len(texts)]


@pytest.mark.parametrize("chunk", [1, 50, 2**24])
def test_matches_a_plain_loop_with_several_captions_an_image(chunk):
    image, text = unit(23, 5), unit(69, 5, seed=1)
    captions = [[f"{i}a", f"{i}b", f"{i}c"] for i in range(23)]
    scores = (image @ text.T).numpy()
    result = retrieval(Table(text), image, captions, chunk)
    for k in (1, 5, 10):
        found = [any(j // 3 == i for j in np.argsort(-scores[i])[:k]) for i in range(23)]
        assert result["image_to_text"][f"r{k}"] == pytest.approx(np.mean(found))
        found = [j // 3 in np.argsort(-scores[:, j])[:k] for j in range(69)]
        assert result["text_to_image"][f"r{k}"] == pytest.approx(np.mean(found))
    assert (result["n_images"], result["n_captions"]) == (23, 69)
    assert result["mean_r5"] == pytest.approx((result["image_to_text"]["r5"] + result["text_to_image"]["r5"]) / 2)


def test_constant_model_finds_nothing():
    result = retrieval(Constant(), Constant().images(range(30)), [[f"{i}", f"{i}!"] for i in range(30)])
    for way in ("image_to_text", "text_to_image"):
        assert result[way] == {"r1": 0.0, "r5": 0.0, "r10": 0.0}


def test_own_captions_are_no_rivals_of_each_other():
    image = torch.eye(3)
    result = retrieval(Table(torch.eye(3).repeat_interleave(2, 0)), image, [["a", "b"], ["c", "d"], ["e", "f"]])
    assert result["image_to_text"]["r1"] == result["text_to_image"]["r1"] == 1.0


def test_same_caption_of_several_images_is_one_text_of_them_all():
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    result = retrieval(Table(torch.eye(2)), image, [["cat"], ["cat"], ["dog"]])
    assert result["image_to_text"]["r1"] == result["text_to_image"]["r1"] == 1.0
    assert result["n_captions"] == 2


def test_nan_ranks_last():
    assert partner_ranks(torch.full((1, 2), torch.nan), torch.eye(2), np.array([[0, 0]]))[0] >= 1


@pytest.mark.parametrize("captions", [[], [["a"]], [["a"], []]])
def test_images_without_captions_are_refused(captions):
    with pytest.raises(InputError, match="each image at least one"):
        retrieval(Constant(), unit(2, 8), captions)
