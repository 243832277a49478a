"""The losses, as pure functions of unit embeddings (paper, section 4).

    clip      L = ( CE(s I T^t) + CE(s T I^t) ) / 2                          Radford et al. 2021, figure 3
    crossed   L = ( CE(s I1 T2^t) + CE(s T1 I2^t) ) / 2                      SafeCLIP's code, two views of each pair
    unimodal  L = CE(s Z2 A^t),  A = each row's nearest neighbour in the     Dwibedi et al. 2021 (NNCLR), one direction
              pool to view 1, or view 1 itself

CE is the mean over the rows of the cross-entropy against the diagonal: row i belongs to column i. Given `rows`, it is
the mean over these alone, against all columns: of ranks that share a batch, each computes (b, B) logits of its own, and
the mean over ranks, weighted by their rows, is the loss of the batch.
What must stay true: logits are float32 whatever comes in, so that bf16 towers do not round the softmax.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_loss(image_BD: Tensor, text_BD: Tensor, scale: Tensor | float, rows: slice | None = None) -> Tensor:
    """Symmetric CLIP loss of a batch, a float32 scalar.

    image_BD, text_BD: unit embeddings (B, D), row i of one belongs to row i of the other. scale: exp(logit_scale).
    rows: those whose loss is computed; None: all.

    Raises:
        ValueError: the shapes differ, are not (B, D), or the batch is empty.

    >>> pair = torch.eye(4)
    >>> round(clip_loss(pair, pair, scale=100.0).item(), 4)
    0.0
    """
    _check("clip_loss", image_BD=image_BD, text_BD=text_BD)
    if rows is not None:
        return (_find(image_BD, text_BD, scale, rows) + _find(text_BD, image_BD, scale, rows)) / 2
    logits_BB = _logits(image_BD, text_BD, scale)  # both directions read the same ones
    return (_against_diagonal(logits_BB) + _against_diagonal(logits_BB.T)) / 2


def clip_loss_crossed(
    image1_BD: Tensor,
    text1_BD: Tensor,
    image2_BD: Tensor,
    text2_BD: Tensor,
    scale: Tensor | float,
    rows: slice | None = None,
) -> Tensor:
    """CLIP loss over two views of each pair, crossed: image 1 looks for caption 2, caption 1 for image 2.

    All (B, D), unit length. With equal views it is `clip_loss`. rows: those whose loss is computed; None: all.

    Raises:
        ValueError: the shapes differ, are not (B, D), or the batch is empty.

    >>> pair = torch.eye(4)
    >>> clip_loss_crossed(pair, pair, pair, pair, scale=1.0).item() == clip_loss(pair, pair, scale=1.0).item()
    True
    """
    _check("clip_loss_crossed", image1_BD=image1_BD, text1_BD=text1_BD, image2_BD=image2_BD, text2_BD=text2_BD)
    return (_find(image1_BD, text2_BD, scale, rows) + _find(text1_BD, image2_BD, scale, rows)) / 2


def unimodal_loss(query_BD: Tensor, key_BD: Tensor, scale: Tensor | float, rows: slice | None = None) -> Tensor:
    """One modality's loss: the query of row i finds the key of row i among the batch's keys. One direction only.

    query_BD: unit embeddings (B, D), of view 2. key_BD: `Pool.nearest(view 1)`, or view 1. scale: exp(logit_scale).
    rows: those whose loss is computed; None: all.

    Raises:
        ValueError: the shapes differ, are not (B, D), or the batch is empty.

    >>> view = torch.eye(4)
    >>> round(unimodal_loss(view, view, scale=100.0).item(), 4)
    0.0
    """
    _check("unimodal_loss", query_BD=query_BD, key_BD=key_BD)
    return _find(query_BD, key_BD, scale, rows)


def _find(rows_BD: Tensor, columns_BD: Tensor, scale: Tensor | float, rows: slice | None) -> Tensor:
    """Mean over `rows` of the cross-entropy with which row i finds column i."""
    rows = slice(0, len(rows_BD)) if rows is None else rows
    return _against_diagonal(_logits(rows_BD[rows], columns_BD, scale), rows.start)


def _logits(rows_BD: Tensor, columns_BD: Tensor, scale: Tensor | float) -> Tensor:
    with torch.autocast(rows_BD.device.type, enabled=False):
        return scale * (rows_BD.float() @ columns_BD.float().T)


def _against_diagonal(logits_RB: Tensor, first: int = 0) -> Tensor:
    """first: of the batch's rows, the one that the logits start with."""
    return F.cross_entropy(logits_RB.float(), torch.arange(first, first + len(logits_RB), device=logits_RB.device))


def _check(where: str, **embeddings: Tensor) -> None:
    first_name, first = next(iter(embeddings.items()))
    for name, embedding in embeddings.items():
        if embedding.ndim != 2 or len(embedding) == 0:
            raise ValueError(f"{where}: {name} has shape {tuple(embedding.shape)}; give (batch, dim), batch at least 1")
        if embedding.shape != first.shape:
            shapes = f"{tuple(first.shape)} and {tuple(embedding.shape)}"
            raise ValueError(f"{where}: {first_name} and {name} have shapes {shapes}; give one row of each per pair")
