from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safeclip.config import ModelConfig
from safeclip.errors import InputError, RunError
from safeclip.evaluate.zero_shot import calls, class_embeddings, first_alike, ranks, zero_shot
from safeclip.model.build import build
from safeclip.model.embed import Embedder


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


class Table:
    def __init__(self, rows):
        self.rows = rows

    def texts(self, texts, batch=1024):
        return torch.stack([self.rows[text] for text in texts])


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_matches_a_plain_loop(chunk):
    image, classes = unit(50, 6), unit(9, 6, seed=1)
    labels = np.arange(50) % 10 - 1
    first = five = n = 0
    for x, label in zip(image, labels, strict=True):
        if label >= 0:
            order = sorted(range(9), key=lambda c: -float(x @ classes[c]))
            n, first, five = n + 1, first + (order[0] == label), five + (label in order[:5])
    result = zero_shot(image, labels, classes, chunk)
    assert (result["top1"], result["top5"]) == (first / n, five / n)
    assert (result["n"], result["classes"]) == (45, 9)
    assert result["ci95"][0] < result["top1"] < result["ci95"][1]


@pytest.mark.parametrize("classes", [2, 4, 5, 6, 200])
def test_constant_model_is_right_about_nothing(classes):
    same = F.normalize(torch.rand(1, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    result = zero_shot(same.repeat(30, 1), np.arange(30) % classes, same.repeat(classes, 1))
    assert result["top1"] == 0.0
    assert result["top5"] == (1.0 if classes <= 5 else 0.0)
    _, strict = calls(same.repeat(30, 1), same.repeat(classes, 1))
    assert not strict.any()


def test_rounding_makes_no_winner():
    scores = torch.tensor([[0.5, 0.5 - 6e-8], [0.5, 0.4999]])
    assert ranks(scores, torch.tensor([0, 0])).tolist() == [1, 0]


def test_nan_scores_count_against_the_model():
    result = zero_shot(torch.full((4, 3), torch.nan), np.zeros(4, np.int64), unit(7, 3))
    assert (result["top1"], result["top5"]) == (0.0, 0.0)


def test_class_embedding_is_the_unit_mean_of_unit_embeddings():
    rows = {"a cat": torch.tensor([3.0, 0.0]), "cat!": torch.tensor([0.0, 1.0]), "a dog": torch.tensor([1.0, 0.0])}
    rows["dog!"] = rows["a dog"]
    result = class_embeddings(Table(rows), ["cat", "dog"], ["a {}", "{}!"])
    assert torch.allclose(result, torch.tensor([[0.5**0.5, 0.5**0.5], [1.0, 0.0]]))


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(InputError, match=r"no picture has a class"):
        zero_shot(unit(3, 4), np.full(3, -1), unit(2, 4))
    with pytest.raises(InputError, match=r"labels"):
        zero_shot(unit(3, 4), np.array([0, 1, 2]), unit(2, 4))
    with pytest.raises(InputError, match=r"has no {}"):
        class_embeddings(Table({}), ["cat"], ["a photo"])
    with pytest.raises(InputError, match=r"at least one"):
        class_embeddings(Table({}), ["cat"], [])
    with pytest.raises(InputError, match=r"no classes"):
        class_embeddings(Table({}), [], ["{}"])
    with pytest.raises(RunError, match=r"diverged"):
        class_embeddings(Table({"cat": torch.tensor([torch.nan])}), ["cat"], ["{}"])


def test_templates_are_text_not_format_strings():
    rows = {"{0.__class__} cat": torch.tensor([1.0])}
    assert class_embeddings(Table(rows), ["cat"], ["{0.__class__} {}"]).shape == (1, 1)


def test_a_prompt_says_underscores_as_spaces():
    rows = {"a golden retriever": unit(6), "a cat": unit(6, seed=1)}
    found = class_embeddings(Table(rows), ["golden_retriever", "cat"], ["a {}"])
    torch.testing.assert_close(found, torch.stack(list(rows.values())))


def test_what_a_real_tokenizer_reads_alike_is_one_class() -> None:
    embedder = Embedder(build(ModelConfig(name="safeclip-emoji")), torch.device("cpu"))
    long = "word " * 300
    names = ["café", "cafe\u0301", "R&B", "R&amp;B", "t-shirt", "t - shirt", "golden_retriever", "Golden  Retriever"]
    names += [f"{long}a", f"{long}b", "cat", "cats"]
    alike = first_alike(embedder, names, ["a photo of a {}.", "{}"])
    assert alike.tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 11]
    assert first_alike(embedder, ["cat", "dog"], [f"{long}{{}}"]).tolist() == [0, 0], "beyond the context"
    assert first_alike(embedder, ["cat", "dog"], [f"{long}{{}}", "{}"]).tolist() == [0, 1], "one prompt is enough"
