"""Zero-shot classification (Radford et al. 2021, section 3.1).

    w_c = unit(mean_t f_T(t(c)))        the classifier's row of class c, over the templates t
    the model calls x the class of the highest f_I(x) . w_c

A picture counts as right only where its class scores strictly above every other: a tie counts against the model, so
that a model that calls everything the same is not right about everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from safeclip.errors import InputError, RunError
from safeclip.evaluate.wilson import wilson

TIE = 1e-6
"""Scores nearer than this are equal: the rounding of a float32 dot product of unit vectors."""


class Embeds(Protocol):
    """What evaluation needs of a model: float32 unit embeddings on the CPU, and what of a picture they are of."""

    def crop(self, image: np.ndarray) -> np.ndarray: ...

    def images(self, images: Sequence[np.ndarray], batch: int = 256) -> Tensor: ...

    def texts(self, texts: Sequence[str], batch: int = 1024) -> Tensor: ...

    def reads(self, texts: Sequence[str]) -> list[bytes]:
        """What the text tower gets of each: texts of equal bytes have equal embeddings."""


def class_embeddings(embedder: Embeds, class_names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Unit mean over the templates of the unit embeddings of each class's texts: (C, D).

    A prompt says a class named `golden_retriever` as "golden retriever". Raises InputError.
    """
    if not class_names:
        raise InputError("zero-shot: no classes; give data with a class column, or class names")
    if not templates:
        raise InputError("templates = (): give at least one, as in 'a photo of a {}.'")
    for template in templates:
        if "{}" not in template:
            raise InputError(
                f"template {template!r}: has no {{}} for the class name; write it as in 'a photo of a {{}}.'"
            )
    texts = [text for name in class_names for text in _prompts(name, templates)]
    embedding_CTD = finite(embedder.texts(texts)).view(len(class_names), len(templates), -1)
    return F.normalize(F.normalize(embedding_CTD, dim=2).mean(1), dim=1)


def first_alike(embedder: Embeds, class_names: Sequence[str], templates: Sequence[str]) -> np.ndarray:
    """Of each class the place of the first that the model reads the same in every prompt, int64 (C,): "Dog" and "dog",
    one letter in two forms, names that differ beyond the context. No picture could be called either of them."""
    places: dict[bytes, int] = {}
    out = np.empty(len(class_names), np.int64)
    for place, name in enumerate(class_names):
        read = hashlib.blake2b(b"\n".join(embedder.reads(_prompts(name, templates)))).digest()
        out[place] = places.setdefault(read, place)
    return out


def _prompts(class_name: str, templates: Sequence[str]) -> list[str]:
    return [template.replace("{}", class_name.replace("_", " ")) for template in templates]


def zero_shot(image_ND: Tensor, labels_N: np.ndarray, class_CD: Tensor, chunk: int = 4096) -> dict[str, Any]:
    """Shares of pictures whose class is the first, and among the first five; pictures of label -1 are left out.

    Returns top1, top5 (1.0 by definition for five classes or fewer), n, ci95 of top1, classes. Raises InputError where
    no picture has a class.
    """
    labels_N = np.asarray(labels_N)
    if len(labels_N) != len(image_ND) or (len(labels_N) and labels_N.max() >= len(class_CD)):
        raise InputError(
            f"zero-shot: {len(labels_N)} labels up to {labels_N.max(initial=-1)} for {len(image_ND)} pictures and "
            f"{len(class_CD)} classes"
        )
    kept = np.flatnonzero(labels_N >= 0)
    if not len(kept):
        raise InputError("zero-shot: no picture has a class; give data with a class column")
    first = five = 0
    for start in range(0, len(kept), chunk):
        rows = torch.from_numpy(kept[start : start + chunk])
        rank_B = ranks(image_ND[rows] @ class_CD.T, torch.from_numpy(labels_N)[rows].long())
        first += int((rank_B == 0).sum())
        five += int((rank_B < 5).sum())
    n = len(kept)
    return {"top1": first / n, "top5": five / n, "n": n, "ci95": list(wilson(first, n)), "classes": len(class_CD)}


def calls(image_ND: Tensor, class_CD: Tensor) -> tuple[Tensor, Tensor]:
    """The class each picture is called (N,), and whether it scores strictly above every other (N,)."""
    scores_NC = image_ND @ class_CD.T
    called_N = scores_NC.argmax(1)
    return called_N, ranks(scores_NC, called_N) == 0


def ranks(scores_NC: Tensor, own_N: Tensor) -> Tensor:
    """How many of the other columns score at least as much as the row's own, NaN included: (N,) int64."""
    own_N1 = scores_NC.gather(1, own_N[:, None])
    ahead_NC = ~(scores_NC < own_N1 - TIE)
    return ahead_NC.sum(1) - ahead_NC.gather(1, own_N[:, None])[:, 0].long()


def finite(embedding_ND: Tensor) -> Tensor:
    """The embeddings as they are. Raises RunError where one is NaN or infinite: such a model has no accuracy."""
    if not torch.isfinite(embedding_ND).all():
        bad = int((~torch.isfinite(embedding_ND).all(dim=-1)).sum())
        raise RunError(
            f"evaluation: {bad} of {len(embedding_ND)} embeddings are NaN or infinite; the model has diverged"
        )
    return embedding_ND
