"""Pictures that fit in memory are decoded once, and those that do not are never all held at once."""

from __future__ import annotations

import numpy as np
import pytest

from safeclip.config import DataConfig
from safeclip.data.pairs import BadPair, Pair
from safeclip.data.read import Reader

PAIRS, MIB = 200, 2**20


class Source:
    """Flat pictures of 8 x 8; those of `large` uids hold a MiB. uid 3 is bad."""

    name, fingerprint, class_names = "made:", "made", ()

    def __init__(self, large: tuple[int, ...] = ()):
        self.large = large
        self.asked: list[int] = []

    def __len__(self) -> int:
        return PAIRS

    def __getitem__(self, uid: int) -> Pair:
        self.asked.append(uid)
        if uid == 3:
            raise BadPair("torn")
        size = (512, 683, 3) if uid in self.large else (8, 8, 3)
        return Pair(np.full(size, uid, np.uint8), self.captions(uid))

    def captions(self, uid: int) -> tuple[str, ...]:
        return (f"pair {uid}",)

    def label(self, uid: int) -> int:
        return -1


def test_what_fits_is_read_once_and_is_what_it_was() -> None:
    reader = Reader(Source(), DataConfig(cache_mib=1))
    assert reader.cache_all()
    asked = len(reader.source.asked)
    for uid in (0, 2, 4, PAIRS - 1):
        picture, captions = reader.read(uid)
        assert (picture == np.full((8, 8, 3), uid)).all()
        assert captions == (f"pair {uid}",)
    with pytest.raises(BadPair, match="torn"):
        reader.read(3)
    assert len(reader.source.asked) == asked


def test_large_pictures_that_the_sample_missed_end_the_filling_at_the_limit() -> None:
    sampled = set(np.linspace(0, PAIRS - 1, 32, dtype=np.int64).tolist())
    large = tuple(uid for uid in range(PAIRS) if uid not in sampled)[10:20]
    reader = Reader(Source(large), DataConfig(cache_mib=4))
    assert not reader.cache_all()
    assert reader.source.asked[-1] == large[3], "the fourth of them, over a MiB each, is the first too many"
    assert reader.read(large[9])[0].shape == (512, 683, 3), "as if it did not fit"


def test_what_the_sample_says_is_too_much_is_not_tried() -> None:
    reader = Reader(Source(tuple(range(PAIRS))), DataConfig(cache_mib=4))
    assert not reader.cache_all()
    assert len(reader.source.asked) == 32


def test_captions_count_as_pictures_do_and_are_held_as_they_are():
    class Wordy(Source):
        def captions(self, uid: int) -> tuple[str, ...]:
            return tuple(f"{i} \ud800 é 猫 " + "x" * (10_000 if self.large else 10) for i in range(3))

    config = DataConfig(cache_mib=1)
    reader = Reader(Wordy(), config)
    assert reader.cache_all()
    assert reader.read(5)[1] == Wordy().captions(5)
    assert not Reader(Wordy(large=(199,)), config).cache_all(), "200 pairs of 30 kB of captions are no MiB"
