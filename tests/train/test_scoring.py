"""What a split asks of the data: small pictures in the order asked for, whatever cannot be read."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from safeclip.config import DataConfig, ModelConfig, ViewsConfig
from safeclip.data.loader import CLEAN, Loader, drawn_captions
from safeclip.data.pairs import BadPair
from safeclip.data.plan import Batch
from safeclip.model.build import build
from safeclip.model.embed import Embedder
from safeclip.signals.thumbnails import SIDE, thumbnails
from safeclip.signals.words import word_ids
from safeclip.train import scoring
from safeclip.train.bad_pairs import BadPairs


class Pictures:
    """A reader of made-up pictures; uid 3 cannot be read."""

    config = DataConfig()

    def __len__(self) -> int:
        return 6

    def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
        if uid == 3:
            raise BadPair("torn")
        return np.full((40, 50, 3), 10 * (uid + 1), np.uint8), ("a caption",)


def test_small_pictures_stand_in_the_order_asked_for_and_what_cannot_be_read_is_black(
    tmp_path: Path, monkeypatch: Any
) -> None:
    reader: Any = Pictures()
    bad = BadPairs(tmp_path / "bad_pairs.parquet", 6, 0.5)
    heard: list[tuple[int, int]] = []
    monkeypatch.setattr(scoring, "_AT_ONCE", 2)
    monkeypatch.setattr(scoring, "_TOLD_AT_ONCE", 4)
    uids = np.array([3, 5, 0, 1, 4])
    glance = scoring.glance(reader, split, bad, uids, lambda *at: heard.append(at))
    small, words = glance.thumbnails, glance.words
    assert small.shape == (5, SIDE, SIDE, 3)
    assert small[:, 0, 0, 0].tolist() == [0, 60, 10, 20, 50]
    assert np.array_equal(small[1], thumbnails([reader.read(5)[0]])[0])
    assert words[:, 0].tolist() == [0, *[word_ids(["a caption"])[0]] * 4]
    assert bad.reasons == {3: "torn"}
    assert heard == [(2, 5), (4, 5), (5, 5)]
    heard.clear()
    scoring.hash_all(reader, bad, lambda *at: heard.append(at))
    assert heard == [(2, 5), (4, 5), (5, 5)], "of those that can be read"


def nothing(*at: int) -> None:
    """Nobody is told."""


def split(caption: str) -> tuple[str, list[tuple[str, str]]]:
    """As a tokenizer whose tokens are words."""
    return caption, [(word, word) for word in caption.split()]


def first(captions: list[tuple[str, ...]], uids: np.ndarray) -> list[str]:
    return [some[0] for some in captions]


@pytest.mark.parametrize("draw", [first, None])
def test_a_pass_embeds_each_pair_in_its_row_and_for_cosines_alone_keeps_nothing_else(
    draw: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    reader: Any = Pictures()
    embedder = Embedder(build(ModelConfig(name="safeclip-emoji", precision="fp32")), torch.device("cpu"))
    monkeypatch.setattr(scoring, "_AT_ONCE", 2)
    monkeypatch.setattr(scoring, "_TOLD_AT_ONCE", 4)
    heard: list[tuple[int, int]] = []

    def embed(vectors: bool) -> Any:
        bad = BadPairs(tmp_path / "bad_pairs.parquet", 6, 0.5)
        found = scoring.embed_all(reader, embedder, bad, draw, vectors, lambda *at: heard.append(at))
        assert np.flatnonzero(~bad.usable).tolist() == [3]
        return found

    whole, cosines = embed(True), embed(False)
    assert heard == [(2, 6), (4, 6), (6, 6)] * 2
    text = embedder.texts(["a caption"])[0]
    for uid in range(6):
        image = embedder.images([reader.read(uid)[0]])[0] if uid != 3 else torch.zeros(128)
        torch.testing.assert_close(whole.image[uid], image, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(whole.text[uid], text if uid != 3 else torch.zeros(128), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(whole.cosine[uid], image @ text, rtol=1e-4, atol=1e-5)
    assert torch.equal(cosines.cosine, whole.cosine)
    assert cosines.image.shape == cosines.text.shape == (0, 128)


class Told(Pictures):
    """Most captions of each pair name the attacker's class; the first does not."""

    def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
        picture, _ = super().read(uid)
        return picture, ("a true caption", *["a planted caption"] * 9)


def test_a_pair_is_scored_by_the_caption_that_the_epoch_trains_on_so_that_none_speaks_for_another(
    tmp_path: Path,
) -> None:
    reader: Any = Told()
    clip = build(ModelConfig(name="safeclip-emoji", precision="fp32"))
    embedder = Embedder(clip, torch.device("cpu"))
    loader = Loader(reader, ViewsConfig(), clip.image_size, clip.tokenize, {"clean": CLEAN}, seed=4)
    uids = np.array([0, 1, 2, 4, 5])
    seen = set()
    for epoch in range(1, 7):
        bad = BadPairs(tmp_path / "bad_pairs.parquet", 6, 0.5)
        draw = partial(drawn_captions, seed=4, epoch=epoch)
        found = scoring.embed_all(reader, embedder, bad, draw, True, nothing)
        trained = loader.make(epoch, Batch(uids, "clean")).tokens[0]
        torch.testing.assert_close(found.text[uids], embedder.tokens(trained), rtol=1e-4, atol=1e-5)
        seen |= {tuple(row.tolist()) for row in trained}
    assert len(seen) == 2, "both captions were drawn"


class Together(Pictures):
    """Reads a pair only while another one is being read."""

    config = DataConfig(workers=2)

    def __init__(self) -> None:
        self.met = threading.Barrier(2)

    def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
        self.met.wait(timeout=30)
        return super().read(uid)


def test_a_pass_reads_in_as_many_threads_as_there_are_workers_and_finds_the_same(tmp_path: Path) -> None:
    found = []
    readers: list[Any] = [Pictures(), Together()]
    for reader in readers:
        bad = BadPairs(tmp_path / "bad_pairs.parquet", 6, 0.5)
        glance = scoring.glance(reader, split, bad, np.arange(6), nothing)
        assert bad.reasons == {3: "torn"}
        found.append((glance, scoring.hash_all(reader, BadPairs(tmp_path / "again.parquet", 6, 0.5), nothing)))
    (one, hashes), (two, others) = found
    assert np.array_equal(hashes, others)
    for name in ("hashes", "thumbnails", "textures", "words"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_ranks_tell_one_another_what_a_pass_found_and_it_is_written_once(tmp_path: Path, monkeypatch: Any) -> None:
    class More(Pictures):
        def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
            if uid == 1:
                raise BadPair("gone")
            return super().read(uid)

    told, written = [], []
    monkeypatch.setattr(scoring.distributed, "joined", lambda items: (told.append(items), items)[1])
    bad = BadPairs(tmp_path / "bad_pairs.parquet", 6, 0.5)
    write = bad.write
    bad.write = lambda: (written.append(len(bad.reasons)), write())[1]  # type: ignore[method-assign]
    readers: list[Any] = [Pictures(), More(), More()]
    for reader in readers:
        scoring.hash_all(reader, bad, nothing)
        bad.settle()
    assert told == [[(3, "torn")], [(1, "gone")], []]
    assert written == [1, 2, 2]
    assert bad.file.exists()
