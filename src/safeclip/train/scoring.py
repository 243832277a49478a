"""What a split asks of the data, and what is said of it: clean embeddings, hashes of the pictures, planted pairs.

What must stay true: scoring sees every usable pair once, in eval mode, without augmentation; ranks take equal
shares of the uids, and rank 0, which decides, gets the whole. The others keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from safeclip.signals.words import WIDTH, word_ids
from safeclip.train import distributed
from safeclip.train.bad_pairs import BadPairs

_EMBED_AT_ONCE, _HASH_AT_ONCE = 512, 1024
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
    count, dim = len(reader) if distributed.first() else 0, embedder.clip.dim
    uids = np.flatnonzero(bad.usable)
    found: list[tuple[int, str]] = []
    more = _more(progress, uids)

    def embed(mine: np.ndarray) -> list[np.ndarray]:
        held = len(mine) if vectors else 0
        image, text, cosine = torch.zeros(held, dim), torch.zeros(held, dim), torch.zeros(len(mine))
        for part in _read(reader, mine, _EMBED_AT_ONCE, bad, found, embedder.crop, more):
            rows = torch.from_numpy(part.rows)
            if not len(rows):
                continue
            captions = part.captions
            if draw is not None:
                captions = [(text,) for text in draw(captions, mine[part.rows])]
            of_image = embedder.images(part.made)
            flat = embedder.texts([caption for some in captions for caption in some])
            counts = torch.tensor([len(some) for some in captions])
            owner = torch.repeat_interleave(torch.arange(len(rows)), counts)
            mean = torch.zeros(len(rows), dim).index_add_(0, owner, flat) / counts[:, None]
            cosine[rows] = (of_image * mean).sum(1)  # the mean similarity over the captions
            if vectors:
                image[rows], text[rows] = of_image, torch.nn.functional.normalize(mean, dim=1)
        return [values.numpy() for values in (cosine, image, text)[: 3 if vectors else 1]]

    held = count if vectors else 0
    image, text, cosine = torch.zeros(held, dim), torch.zeros(held, dim), torch.zeros(count)
    with distributed.whole_weights(embedder.clip.net):
        _fill([values.numpy() for values in (cosine, image, text)], uids, embed, _EMBED_AT_ONCE)
    _tell(found, bad)
    bad.settle()
    return Embeddings(image, text, cosine)


def hash_all(reader: Reader, bad: BadPairs, progress: Progress) -> np.ndarray:
    """Perceptual hashes uint64 (N,) of all usable pairs' pictures; 0 for the others."""
    uids = np.flatnonzero(bad.usable)
    found: list[tuple[int, str]] = []
    more = _more(progress, uids)

    def hash_(mine: np.ndarray) -> list[np.ndarray]:
        hashes = np.zeros(len(mine), np.uint64)
        for part in _read(reader, mine, _HASH_AT_ONCE, bad, found, _hash, more):
            hashes[part.rows] = part.made
        return [hashes]

    hashes = np.zeros(len(reader) if distributed.first() else 0, np.uint64)
    _fill([hashes], uids, hash_, _HASH_AT_ONCE)
    _tell(found, bad)
    bad.settle()
    return hashes


def glance(reader: Reader, seen: Callable[[str], str], bad: BadPairs, uids: np.ndarray, progress: Progress) -> Glance:
    """Hashes, small pictures, textures and words of these pairs; 0 where a pair cannot be read. seen: what the text
    tower reads of a caption, since words that it does not learn say nothing for a pair. Pairs that cannot be read leave
    `bad.usable`."""
    found: list[tuple[int, str]] = []
    more = _more(progress, uids)

    def look(mine: np.ndarray) -> list[np.ndarray]:
        hashes, small, fine, words = made = _blank(len(mine))
        for part in _read(reader, uids[mine], _HASH_AT_ONCE, bad, found, glimpse, more):
            for row, seen_of, captions in zip(part.rows.tolist(), part.made, part.captions, strict=True):
                hashes[row], small[row], fine[row] = seen_of
                words[row] = word_ids([*map(seen, captions)])
        return made

    whole = _blank(len(uids) if distributed.first() else 0)
    _fill(whole, np.arange(len(uids)), look, _HASH_AT_ONCE)
    _tell(found, bad)
    bad.settle()
    return Glance(*whole)


def _blank(pairs: int) -> list[np.ndarray]:
    """What `Glance` holds, of no pair yet."""
    small, words = np.zeros((pairs, SIDE, SIDE, 3), np.uint8), np.zeros((pairs, WIDTH), np.uint32)
    return [np.zeros(pairs, np.uint64), small, np.zeros((pairs, TEXTURE), np.float32), words]


def _fill(
    whole: list[np.ndarray], rows: np.ndarray, make: Callable[[np.ndarray], list[np.ndarray]], at_once: int
) -> None:
    """Fill these rows of the arrays of rank 0 with what each rank makes of its share of them, a chunk at a time: no
    rank holds more of the whole than that, and none waits for the others until the end.

    make: takes some of the rows and gives their values for the first of the arrays. at_once: rows it works on.
    """
    shares = distributed.split(rows)
    step = max(1, _TOLD_AT_ONCE // len(shares) // at_once) * at_once
    for start in range(0, len(shares[0]), step):
        parts = [share[start : start + step] for share in shares]
        made = make(parts[distributed.rank()])
        for array, mine in zip(whole, made, strict=False):
            for rank, values in distributed.rows_to_first(mine, [len(part) for part in parts]):
                array[parts[rank]] = values


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


def _read(
    reader: Reader,
    uids: np.ndarray,
    at_once: int,
    bad: BadPairs,
    found: list[tuple[int, str]],
    make: Callable[[np.ndarray], Any],
    more: Callable[[int], None],
) -> Iterator[Part]:
    """The pairs that can be read, in parts, and what is made of their pictures; the others are told to `bad`, and are
    found. more: told how many pairs each part stood for, once it is done with."""
    done = 0
    for part in read_in_parts(reader, uids, at_once, reader.config.workers, make):
        bad.add(part.bad)
        found += part.bad
        yield part
        more(part.end - done)
        done = part.end


def _more(progress: Progress, uids: np.ndarray) -> Callable[[int], None]:
    """Adds up what a pass over these uids has done of this rank's share, whatever chunks it comes in."""
    done, whole = 0, len(distributed.share(uids))

    def add(pairs: int) -> None:
        nonlocal done
        done += pairs
        progress(done, whole)

    return add


def _tell(found: list[tuple[int, str]], bad: BadPairs) -> None:
    """What each rank found in a pass, to all of them and to the disk."""
    bad.add(distributed.joined(found))
    bad.write()
