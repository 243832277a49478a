"""Captions cut to the context that a batch needs: CLIP's text tower reads 77 tokens, a caption fills about 15 of them.

A causal tower pools at the end-of-text token, and no position before it sees one after it. So for the longest caption
of a batch, l tokens with its marks, all columns from l on can go: embeddings and gradients stay what they were, to the
rounding of sums in another order. Lengths are rounded up to fixed ones, so that a compiled tower meets few shapes.

What must stay true: the cut is found on the CPU, before the tokens travel; a tower that is not known to read like this
gets its whole context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)
"""Columns that a batch is cut to, or the tower's whole context."""


@dataclass(frozen=True)
class Cut:
    """Tokens int64 (..., B, context) -> their first columns, as many as the longest caption needs, rounded up.

    context: of the tower. end: id of the token that is pooled at, where it first stands; None: at the largest id.
    """

    context: int
    end: int | None = None

    def __call__(self, tokens: Tensor) -> Tensor:
        if tokens.numel() == 0 or tokens.shape[-1] != self.context:
            return tokens
        marks = tokens if self.end is None else torch.eq(tokens, self.end).int()
        needed = int(marks.argmax(-1).max()) + 1
        length = next((n for n in LENGTHS if needed <= n < self.context), self.context)
        return tokens[..., :length].contiguous()


def cut_for(net: Any) -> Cut | None:
    """How this net's captions may be cut; None where its tower may look at what lies behind a caption."""
    tower = _tower(net)
    if tower is None:
        return None
    context = int(tower.context_length)
    causal = tower.attn_mask is not None and torch.equal(tower.attn_mask.cpu(), _causal(context))
    if not causal or getattr(tower, "cls_emb", None) is not None or getattr(tower, "output_tokens", False):
        return None
    pooled, end = _pooling(tower)
    if pooled == "eos" and end is not None:
        return Cut(context, int(end))
    return Cut(context) if pooled == "argmax" else None


def encode_text(net: Any, tokens_BT: Tensor) -> Tensor:
    """`net.encode_text`, of tokens that a `Cut` may have shortened. Returns (B, D), not normalised."""
    tower = _tower(net)
    length = tokens_BT.shape[1]
    if tower is None or length == tower.context_length:
        whole: Tensor = net.encode_text(tokens_BT)
        return whole
    # open_clip's CLIP.encode_text, its positions and its mask cut to `length`
    dtype = tower.transformer.get_cast_dtype()
    x_BTW = tower.token_embedding(tokens_BT).to(dtype) + tower.positional_embedding[:length].to(dtype)
    x_BTW = tower.ln_final(tower.transformer(x_BTW, attn_mask=tower.attn_mask[:length, :length]))
    pooled, end = _pooling(tower)
    marks_BT = tokens_BT if pooled == "argmax" or end is None else torch.eq(tokens_BT, end).int()
    at_B = marks_BT.argmax(-1)
    x_BW: Tensor = x_BTW[torch.arange(len(x_BTW), device=x_BTW.device), at_B]
    projection = tower.text_projection
    if projection is None:
        return x_BW
    embedding: Tensor = projection(x_BW) if isinstance(projection, torch.nn.Module) else x_BW @ projection
    return embedding


def _tower(net: Any) -> Any:
    """The module that holds the text tower's parts, in open_clip's CLIP the net itself; None for another kind."""
    tower = net if hasattr(net, "positional_embedding") else getattr(net, "text", None)
    parts = ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection", "context_length")
    known = hasattr(tower, "attn_mask") and all(hasattr(tower, part) for part in parts)
    return tower if known and hasattr(getattr(tower, "transformer", None), "get_cast_dtype") else None


def _pooling(tower: Any) -> tuple[str, int | None]:
    """open_clip's name for where the tower is pooled, and the id of its end-of-text token."""
    if hasattr(tower, "text_pool_type"):
        return tower.text_pool_type, getattr(tower, "text_eos_id", None)
    return tower.pool_type, getattr(tower, "eos_id", None)


def _causal(length: int) -> Tensor:
    return torch.full((length, length), float("-inf")).triu_(1)
