"""What a split asks of the data, and what is said of it: clean embeddings, hashes of the pictures, planted pairs.

What must stay true: scoring sees every usable pair once, in eval mode, without augmentation; ranks take equal
shares of the uids, and rank 0, which decides, gets the whole. The others keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from safeclip.attacks.manifest import Manifest
from safeclip.data.read import Part, Reader, read_in_parts
from safeclip.methods.base import Embeddings, State
from safeclip.model.embed import Embedder
from safeclip.run import RunDir, append_line, write_scores
from safeclip.signals.copies import perceptual_hashes
from safeclip.signals.glance import Glance
from safeclip.signals.texture import TEXTURE, textures
from safeclip.signals.thumbnails import SIDE, thumbnails
from safeclip.signals.words import ID, WIDTH, words_and_ends
from safeclip.train import distributed
from safeclip.train.bad_pairs import BadPairs

_AT_ONCE = 512
"""Pairs read at once."""
_TOLD_AT_ONCE = 65_536
"""Pairs of all ranks together whose rows they send to rank 0 at a time."""

Progress = Callable[[int, int], None]
"""Takes pairs done and pairs, of this rank's."""


def embed_all(
    reader: Reader,
    embedder: Embedder,
    bad: BadPairs,
    draw: Callable[[list[tuple[str, ...]], np.ndarray], list[str]] | None,
    vectors: bool,
    progress: Progress,
) -> Embeddings:
    """Clean embeddings of all usable pairs. Pairs that cannot be read leave `bad.usable`.

    draw: of pairs, by their captions and uids, the caption that is each one's text, since what training never draws
    must not speak for what it does; None takes the mean over all. vectors: whether the embeddings are kept, or their
    cosines alone.
    """
    dim = embedder.clip.dim

    def embed(made: list[np.ndarray], part: Part, uids: np.ndarray) -> None:
        if not len(part.rows):
            return
        captions = part.captions if draw is None else [(text,) for text in draw(part.captions, uids)]
        of_image = embedder.images(part.made)
        flat = embedder.texts([caption for some in captions for caption in some])
        counts = torch.tensor([len(some) for some in captions])
        owner = torch.repeat_interleave(torch.arange(len(uids)), counts)
        mean = torch.zeros(len(uids), dim).index_add_(0, owner, flat) / counts[:, None]
        made[0][part.rows] = (of_image * mean).sum(1)  # the mean similarity over the captions
        if vectors:
            made[1][part.rows], made[2][part.rows] = of_image, torch.nn.functional.normalize(mean, dim=1)

    count = len(reader) if distributed.first() else 0
    cosine, *sides = (torch.zeros(count, *width) for width in ([(), (dim,), (dim,)] if vectors else [()]))
    uids = np.flatnonzero(bad.usable)
    with distributed.whole_weights(embedder.clip.net):
        _pass(reader, uids, bad, progress, [side.numpy() for side in (cosine, *sides)], uids, embed, embedder.crop)
    image, text = sides if vectors else (torch.zeros(0, dim), torch.zeros(0, dim))
    return Embeddings(image, text, cosine)


def hash_all(reader: Reader, bad: BadPairs, progress: Progress) -> np.ndarray:
    """Perceptual hashes uint64 (N,) of all usable pairs' pictures; 0 for the others."""

    def hash_(made: list[np.ndarray], part: Part, uids: np.ndarray) -> None:
        made[0][part.rows] = part.made

    hashes = np.zeros(len(reader) if distributed.first() else 0, np.uint64)
    uids = np.flatnonzero(bad.usable)
    _pass(reader, uids, bad, progress, [hashes], uids, hash_, _hash)
    return hashes


def glance(
    reader: Reader,
    told: Callable[[str], tuple[str, list[tuple[str, str]]]],
    bad: BadPairs,
    uids: np.ndarray,
    progress: Progress,
) -> Glance:
    """Hashes, small pictures, textures and words of these pairs; 0 where a pair cannot be read. told: what the text
    tower reads of a caption, since words that it does not learn say nothing for a pair, and how it divides the words.
    Pairs that cannot be read leave `bad.usable`."""

    def look(made: list[np.ndarray], part: Part, uids: np.ndarray) -> None:
        hashes, small, fine, words, ends = made
        for row, seen_of, captions in zip(part.rows.tolist(), part.made, part.captions, strict=True):
            hashes[row], small[row], fine[row] = seen_of
            words[row], ends[row] = words_and_ends(*zip(*map(told, captions), strict=True))

    held = len(uids) if distributed.first() else 0
    small, words, ends = np.zeros((held, SIDE, SIDE, 3), np.uint8), *np.zeros((2, held, WIDTH), ID)
    whole: list[np.ndarray] = [np.zeros(held, np.uint64), small, np.zeros((held, TEXTURE), np.float32), words, ends]
    _pass(reader, uids, bad, progress, whole, np.arange(len(uids)), look, glimpse)
    return Glance(*whole)


def _pass(
    reader: Reader,
    uids: np.ndarray,
    bad: BadPairs,
    progress: Progress,
    whole: list[np.ndarray],
    places: np.ndarray,
    keep: Callable[[list[np.ndarray], Part, np.ndarray], None],
    make: Callable[[np.ndarray], Any],
) -> None:
    """Read these pairs once, each rank its share, and fill the arrays of rank 0 with what comes of them, a chunk at a
    time: no rank holds more of the whole than that, and none waits for the others until the end. Pairs that cannot be
    read leave `bad.usable`, on all ranks and on the disk.

    whole: on rank 0 a row for each place, on the others none. places: of each pair in them. keep: takes arrays as wide
    as these, a part of what was read and the uids of its rows, and puts there what is to be told. make: what is made of
    a picture while reading.
    """
    found: list[tuple[int, str]] = []
    shares = distributed.split(np.arange(len(uids)))
    done, of_mine = 0, len(shares[distributed.rank()])
    step = max(1, _TOLD_AT_ONCE // len(shares) // _AT_ONCE) * _AT_ONCE
    for start in range(0, len(shares[0]), step):
        chunks = [share[start : start + step] for share in shares]
        mine = uids[chunks[distributed.rank()]]
        made = [np.zeros((len(mine), *array.shape[1:]), array.dtype) for array in whole]
        before = 0
        for part in read_in_parts(reader, mine, _AT_ONCE, reader.config.workers, make):
            bad.add(part.bad)  # too many end the pass here, not after the last pair
            found += part.bad
            keep(made, part, mine[part.rows])
            done, before = done + part.end - before, part.end
            progress(done, of_mine)
        for array, own in zip(whole, made, strict=True):
            for rank, values in distributed.rows_to_first(own, [len(chunk) for chunk in chunks]):
                array[places[chunks[rank]]] = values
    bad.add(distributed.joined(found))
    bad.write()
    bad.settle()


def decide(ask: Callable[[], State]) -> State:
    """What rank 0 finds, on every rank; it alone is asked. Of millions of pairs that takes longer than ranks wait for
    one another elsewhere."""
    found = ask() if distributed.first() else State()
    distributed.await_first()
    return State(distributed.tensors_of_first(found.tensors), distributed.of_first(found.values))


def record_split(
    run: RunDir, manifest: Manifest | None, epoch: int, record: dict[str, Any], columns: dict[str, np.ndarray]
) -> None:
    """What a split found, into the run's files; rank 0 writes. columns: of scores/, among them `uid` and `safe`."""
    if distributed.first():
        write_scores(run.scores_file(epoch), columns)
        append_line(run.split_file, record | planted_in(manifest, columns["uid"][columns["safe"]]))


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


def _hash(picture: np.ndarray) -> int:
    return int(perceptual_hashes([picture])[0])


def glimpse(picture: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """What `glance` keeps of a picture: hash, thumbnail, texture."""
    return _hash(picture), thumbnails([picture])[0], textures([picture])[0]
