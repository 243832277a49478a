"""From uids to embeddings: pairs read once, a chunk at a time, each picture cropped by whoever reads it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeclip.data.read import Reads, read_in_parts
from safeclip.evaluate.zero_shot import Embeds, finite
from safeclip.train.progress import Bar

_CHUNK = 512
_SOON = 4 * _CHUNK
"""Pictures that are read before anybody asks for progress."""


def read_pairs(
    embedder: Embeds,
    reader: Reads,
    uids: np.ndarray,
    with_captions: frozenset[int],
    threads: int = 0,
    quiet: bool = True,
) -> tuple[np.ndarray, Tensor, dict[int, tuple[str, ...]], int]:
    """uids that could be read, their embeddings, captions by row of those in `with_captions`, and how many failed."""
    read: list[int] = []
    parts: list[Tensor] = []
    captions: dict[int, tuple[str, ...]] = {}
    bad = 0
    with Bar("evaluate", quiet=quiet or len(uids) <= _SOON) as bar:
        bar.begin(0.0)
        for part in read_in_parts(reader, uids, _CHUNK, threads, embedder.crop):
            bad += len(part.bad)
            for uid, texts in zip(uids[part.rows].tolist(), part.captions, strict=True):
                if uid in with_captions:
                    captions[len(read)] = texts
                read.append(uid)
            if part.made:
                parts.append(finite(embedder.images(part.made)))
            bar.at((len(read) + bad) / len(uids), f"pictures {len(read) + bad:,}/{len(uids):,}")
    return np.array(read, np.int64), torch.cat(parts) if parts else torch.empty(0, 0), captions, bad
