"""What a split asks of the data: small pictures in the order asked for, whatever cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from safeclip.data.pairs import BadPair
from safeclip.signals.thumbnails import SIDE, thumbnails
from safeclip.signals.words import word_ids
from safeclip.train import scoring
from safeclip.train.bad_pairs import BadPairs


class Pictures:
    """A reader of made-up pictures; uid 3 cannot be read."""

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
    monkeypatch.setattr(scoring, "_HASH_AT_ONCE", 2)
    glance = scoring.glance(reader, bad, np.array([3, 5, 0, 1, 4]))
    small, words = glance.thumbnails, glance.words
    assert small.shape == (5, SIDE, SIDE, 3)
    assert small[:, 0, 0, 0].tolist() == [0, 60, 10, 20, 50]
    assert np.array_equal(small[1], thumbnails([reader.read(5)[0]])[0])
    assert words[:, 0].tolist() == [0, *[word_ids(["a caption"])[0]] * 4]
    assert bad.reasons == {3: "torn"}
