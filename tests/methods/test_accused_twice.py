"""Pairs that several vetoes speak against: they are not spared, and the columns say which ones do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safeclip.methods.verdicts import spared
from safeclip.signals.glance import Glance
from tests.methods.driven import Data, config, drive
from tests.methods.test_safeclip import method_for


@pytest.mark.parametrize("other", ["texture", "words", "copies", "renderings"])
def test_a_pair_that_another_veto_accuses_too_is_not_spared(other, monkeypatch):
    rng = np.random.default_rng(0)
    words = rng.integers(100, 160, (2000, 5)).astype(np.uint64)
    glance = Glance(
        np.zeros(2000, np.uint64), rng.integers(0, 256, (2000, 32, 32, 3), np.uint8), np.zeros((2000, 90)), words
    )
    by_pattern, by_other, known = np.zeros((3, 2000), bool)
    by_pattern[1900:] = by_other[1950:] = known[1900:] = True
    monkeypatch.setattr("safeclip.methods.verdicts.fits", lambda *_, **__: np.zeros(2000, np.float32))
    monkeypatch.setattr("safeclip.methods.verdicts.vouched", lambda *_, **__: known)
    monkeypatch.setattr("safeclip.methods.verdicts.untied", lambda *_, **__: np.zeros(2000, bool))
    own = config(**{"safeclip.veto": ["patterns"]}).safeclip
    kept = spared(glance, {"patterns": by_pattern, other: by_other}, np.zeros(2000, bool), own, torch.device("cpu"))
    assert np.array_equal(np.flatnonzero(kept), np.arange(1900, 1950))


def test_the_columns_say_which_vetoes_bar_a_pair() -> None:
    data = Data(400, copied=9)
    planted = np.arange(5, 29)
    data.words[planted] = data.words[5]
    data.thumbnails[planted, -14:, -14:] = data.thumbnails[5, -14:, -14:]
    method, cfg = method_for(data, **{"safeclip.veto": ["copies", "patterns"]})
    list(drive(method, cfg, data))
    for record, columns in zip(data.records, data.columns, strict=True):
        counts = [int((columns["barred"] >> i & 1).sum()) for i in range(8)]
        assert counts == [*record["vetoed_by"].values(), *[0] * 6]
        assert min(counts[:2]) > 0
        assert record["vetoed"] == (columns["barred"] > 0).sum()
