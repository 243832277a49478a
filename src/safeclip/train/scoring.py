"""What a split asks of the data, and what is said of it: clean embeddings, hashes of the pictures, planted pairs.

What must stay true: scoring sees every usable pair once, in eval mode, without augmentation; ranks take equal
shares of the uids, and each gets the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from safeclip.attacks.manifest import Manifest
from safeclip.data.pairs import BadPair
from safeclip.data.read import Reader
from safeclip.methods.base import Embeddings, State
from safeclip.model.embed import Embedder
from safeclip.signals.copies import perceptual_hashes
from safeclip.signals.glance import Glance
from safeclip.signals.texture import TEXTURE, textures
from safeclip.signals.thumbnails import SIDE, thumbnails
from safeclip.signals.words import WIDTH, word_ids
from safeclip.train import distributed
from safeclip.train.bad_pairs import BadPairs

_EMBED_AT_ONCE, _HASH_AT_ONCE = 512, 1024


def embed_all(
    reader: Reader, embedder: Embedder, bad: BadPairs, every_caption: bool, progress: Callable[[int, int], None]
) -> Embeddings:
    """Clean embeddings of all usable pairs. Pairs that cannot be read leave `bad.usable`.

    every_caption: a pair's text is the mean over its captions, not the first one. progress: takes (pairs done, pairs).
    """
    count, dim = len(reader), embedder.clip.dim
    image, text, cosine = torch.zeros(count, dim), torch.zeros(count, dim), torch.zeros(count)
    uids = distributed.share(np.flatnonzero(bad.usable))
    with distributed.whole_weights(embedder.clip.net):
        for start in range(0, len(uids), _EMBED_AT_ONCE):
            kept, pictures, captions = _read(reader, uids[start : start + _EMBED_AT_ONCE], bad)
            if not kept:
                continue
            rows = torch.tensor(kept)
            captions = captions if every_caption else [some[:1] for some in captions]
            image[rows] = embedder.images(pictures)
            flat = embedder.texts([caption for some in captions for caption in some])
            counts = torch.tensor([len(some) for some in captions])
            owner = torch.repeat_interleave(torch.arange(len(kept)), counts)
            mean = torch.zeros(len(kept), dim).index_add_(0, owner, flat) / counts[:, None]
            text[rows] = torch.nn.functional.normalize(mean, dim=1)
            cosine[rows] = (image[rows] * mean).sum(1)  # the mean similarity over the captions
            progress(start + len(kept), len(uids))
    for part in (image, text, cosine):
        distributed.add_up(part)
    bad.add(distributed.joined(list(bad.reasons.items())))
    bad.settle()
    return Embeddings(image, text, cosine)


def hash_all(reader: Reader, bad: BadPairs) -> np.ndarray:
    """Perceptual hashes uint64 (N,) of all usable pairs' pictures; 0 for the others."""
    hashes = np.zeros(len(reader), np.uint64)
    uids = distributed.share(np.flatnonzero(bad.usable))
    for start in range(0, len(uids), _HASH_AT_ONCE):
        kept, pictures, _ = _read(reader, uids[start : start + _HASH_AT_ONCE], bad)
        hashes[kept] = perceptual_hashes(pictures)
    distributed.add_up(torch.from_numpy(hashes.view(np.int64)))
    bad.add(distributed.joined(list(bad.reasons.items())))
    return hashes


def glance(reader: Reader, bad: BadPairs, uids: np.ndarray) -> Glance:
    """Hashes, small pictures, textures and words of these pairs; 0 where a pair cannot be read."""
    hashes = np.zeros(len(uids), np.uint64)
    small = np.zeros((len(uids), SIDE, SIDE, 3), np.uint8)
    fine = np.zeros((len(uids), TEXTURE), np.float32)
    words = np.zeros((len(uids), WIDTH), np.uint16)
    mine = distributed.share(np.arange(len(uids)))
    for start in range(0, len(mine), _HASH_AT_ONCE):
        rows = mine[start : start + _HASH_AT_ONCE]
        kept, pictures, captions = _read(reader, uids[rows], bad)
        rows = rows[np.isin(uids[rows], kept)]
        hashes[rows] = perceptual_hashes(pictures)
        small[rows] = thumbnails(pictures)
        fine[rows] = textures(pictures)
        words[rows] = [word_ids(some) for some in captions] if kept else 0
    for part in (hashes.view(np.int64), small, fine, words.view(np.uint8)):
        distributed.add_up(torch.from_numpy(part))
    bad.add(distributed.joined(list(bad.reasons.items())))
    return Glance(hashes, small, fine, words)


def decide(ask: Callable[[], State]) -> State:
    """What rank 0 finds, on every rank; it alone is asked. Of millions of pairs that takes longer than ranks wait for
    one another elsewhere."""
    found = ask() if distributed.first() else State()
    distributed.await_first()
    return State(distributed.tensors_of_first(found.tensors), distributed.of_first(found.values))


def planted_in(manifest: Manifest | None, safe_uids: np.ndarray) -> dict[str, Any]:
    """How many planted pairs are among the safe ones, in all and by attack; None where nothing is known of any.

    safe_uids: sorted, so that the few planted ones are looked up among the many.
    """
    if manifest is None:
        return {"planted_in_safe": None, "planted_total": None}
    by_attack = {}
    for name in sorted({about["name"] for about in manifest.attacks}):
        planted = manifest.uids[manifest.attack_of(manifest.uids) == name]
        place = np.searchsorted(safe_uids, planted)
        inside = safe_uids[np.minimum(place, len(safe_uids) - 1)] == planted if len(safe_uids) else planted < 0
        by_attack[name] = [int(inside.sum()), len(planted)]
    return {
        "planted_in_safe": sum(inside for inside, _ in by_attack.values()),
        "planted_total": sum(total for _, total in by_attack.values()),
        "planted_by_attack": by_attack,
    }


def _read(reader: Reader, uids: np.ndarray, bad: BadPairs) -> tuple[list[int], list[np.ndarray], list[tuple[str, ...]]]:
    kept, pictures, captions = [], [], []
    for uid in uids.tolist():
        try:
            picture, texts = reader.read(uid)
        except BadPair as reason:
            bad.add([(uid, str(reason))])
            continue
        kept.append(uid)
        pictures.append(picture)
        captions.append(texts)
    return kept, pictures, captions
