"""Training and validation pictures of a linear probe: the other splits of the data that is evaluated, as they lie.

Validation is the data's own split where it has one, else a seeded tenth of the training pictures of each class. What
must stay true: no picture that is tested is among them. Data without splits is refused, since its parts are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from safeclip.data.draws import shuffled
from safeclip.data.held_out import set_aside, val_count
from safeclip.data.pairs import NoSuchSplit, Source
from safeclip.data.read import Reads
from safeclip.data.same import same_pictures
from safeclip.errors import InputError
from safeclip.evaluate.probe import Embedded
from safeclip.evaluate.read_pairs import read_pairs
from safeclip.evaluate.zero_shot import Embeds

VAL_SPLITS = ("val", "valid", "validation", "dev")
_STREAM = 0x9A0B


@dataclass(frozen=True)
class Splits:
    """train, val: the sources; val is None where a part of train is held out. val_split: the name of val."""

    train: Source
    val: Source | None
    val_split: str | None


def probe_splits(open_split: Callable[[str], Source], test: Source, test_split: str) -> Splits:
    """The splits to train on. open_split: name -> source. test: the one evaluated. Raises InputError where there is
    none to train on, or none with classes.
    """
    if test_split in ("train", "trainval", "all"):
        raise InputError(f"--probe: tests on split = {test_split!r}, which holds what it trains on; give --split test")
    try:
        train = open_split("train")
    except NoSuchSplit as error:
        raise InputError(f"--probe: has nothing to train on; {error}") from None
    if not train.class_names:
        raise InputError(f"--probe: {train.name} has no classes; give data with a class column, or class folders")
    if same_pictures(train, test):
        raise InputError(f"--probe: {train.name} has no splits, so it would test on what it trains on; give it splits")
    for name in VAL_SPLITS:
        if name != test_split:
            try:
                return Splits(train, open_split(name), name)
            except NoSuchSplit:
                continue
    return Splits(train, None, None)


def probe_pictures(
    embedder: Embeds,
    splits: Splits,
    reader_of: Callable[[Source], Reads],
    class_names: tuple[str, ...],
    limit: int | None = None,
    threads: int = 0,
) -> tuple[Embedded, Embedded]:
    """Embeddings and classes of the training and validation pictures that can be read and have a class.

    class_names: those that labels index, of the data tested; a class of another name gets a further number. limit:
    pairs of each split at most, drawn at random. threads: as for `read_pairs`.
    """
    place = {name: i for i, name in enumerate(class_names)}
    train = _embedded(embedder, reader_of(splits.train), place, limit, threads)
    if splits.val is not None:
        return train, _embedded(embedder, reader_of(splits.val), place, limit, threads)
    held_N = set_aside(train.labels_N, val_count)
    parts = [Embedded(train.image_ND[mask_N], train.labels_N[mask_N]) for mask_N in (~held_N, held_N)]
    return parts[0], parts[1]


def _embedded(embedder: Embeds, reader: Reads, place: dict[str, int], limit: int | None, threads: int) -> Embedded:
    order = shuffled(0, 0, np.arange(len(reader), dtype=np.int64), _STREAM)
    uids_N, image_ND, _, _ = read_pairs(embedder, reader, np.sort(order[:limit]), frozenset(), threads)
    own = [place.setdefault(name, len(place)) for name in reader.source.class_names] + [-1]
    labels_N = np.array([own[reader.source.label(uid)] for uid in uids_N.tolist()], np.int64)
    known_N = labels_N >= 0
    return Embedded(image_ND.numpy()[known_N], labels_N[known_N])
