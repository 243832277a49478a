"""SafeCLIP where there is next to nothing to split, and where pairs leave late."""

from __future__ import annotations

import numpy as np
import pytest

from safeclip.errors import InputError, RunError
from safeclip.methods import build_method
from safeclip.signals.glance import Glance
from tests.methods.driven import Data, config, drive

FRESH = {"epochs": 8, "optim.batch_size": 8, "safeclip.warmup_epochs": 1, "safeclip.scoring": "fresh"}
QUICK = ("renderings", "texture", "words")
LEFT_OUT = FRESH | {"safeclip.barred": "left out", "safeclip.veto": ["copies"]}


def test_where_all_pairs_are_barred_the_first_epoch_says_so() -> None:
    data = Data(24, copied=24)
    cfg = config(**LEFT_OUT)
    with pytest.raises(RunError, match=r"all 24 pairs are vetoed; raise safeclip\.copies_allowed"):
        next(drive(build_method(cfg, 24, data.dim), cfg, data))


def test_a_side_that_was_empty_when_the_steps_were_counted_has_a_schedule_when_pairs_come() -> None:
    data = Data(40, copied=12)
    cfg = config(**LEFT_OUT, **{"safeclip.share_first": 0.7, "safeclip.share_cap": 0.7, "safeclip.growth": 0.0})
    method = build_method(cfg, 40, data.dim)
    list(drive(method, cfg, data, last=4))
    data.usable[-4:] = False  # of 36 pairs, 28 of them allowed, 25 are safe
    for epoch in drive(method, cfg, data, first=5):
        assert {batch.objective for batch in epoch.batches} == {"unimodal", "clip"}
        assert all(epoch.schedules[batch.objective].steps for batch in epoch.batches)


@pytest.mark.parametrize("pairs", [2, 24])
def test_a_share_that_grows_to_all_leaves_one_pair_risky(pairs: int) -> None:
    data = Data(pairs)
    own = {"safeclip.share_first": 0.5, "safeclip.growth": 0.2, "safeclip.share_cap": 1.0, "safeclip.veto": []}
    cfg = config(**FRESH | own | {"optim.batch_size": 2})
    list(drive(build_method(cfg, pairs, data.dim), cfg, data))
    assert data.records[-1]["safe_count"] == pairs - 1


def test_running_scores_need_an_epoch_that_gives_them() -> None:
    own = {"safeclip.scoring": "running", "safeclip.warmup_epochs": 0, "safeclip.align_epochs": 0}
    with pytest.raises(InputError, match="no epoch before the split gives scores; give fresh"):
        config(**own)
    config(**own | {"method": "clip"})


@pytest.mark.parametrize(("size", "notes"), [(100, 1), (10, 0)])
def test_a_pool_that_the_warm_up_does_not_fill_is_noted(size: int, notes: int) -> None:
    data = Data(40)
    cfg = config(**FRESH, **{"safeclip.pool_size": size, "safeclip.share_first": 0.5})
    list(drive(build_method(cfg, 40, data.dim), cfg, data))
    assert sum("safeclip.pool_size" in note for note in data.notes) == notes


def test_pairs_that_the_look_finds_bad_are_asked_nothing() -> None:
    """They would be black pictures, all alike, under no words."""

    class Torn(Data):
        def _glance(self, uids: np.ndarray) -> Glance:
            self.usable[5:9] = False
            glance = super()._glance(uids)
            for part in (glance.hashes, glance.thumbnails, glance.textures, glance.words):
                part[5:9] = 0
            return glance

    data, whole = Torn(60), Data(60)
    whole.usable[5:9] = False
    found = []
    for each in (data, whole):
        cfg = config(**FRESH, **{"safeclip.barred": "left out", "safeclip.veto": ["copies", *QUICK]})
        method = build_method(cfg, 60, each.dim)
        next(drive(method, cfg, each))
        found.append(method.vetoes)
    for name in QUICK:
        assert np.array_equal(found[0].scores[name], found[1].scores[name])
    assert np.array_equal(found[0].groups, found[1].groups)


def test_a_resumed_run_writes_its_vetoes_in_the_same_order() -> None:
    data = Data(60)
    cfg = config(**FRESH, **{"safeclip.share_first": 0.5, "safeclip.veto": ["copies", *QUICK]})
    method, again = (build_method(cfg, 60, data.dim) for _ in range(2))
    list(drive(method, cfg, data, last=4))
    state = method.state_dict()
    state.tensors = dict(sorted(state.tensors.items()))  # as a checkpoint gives them back
    again.load_state_dict(state)
    assert list(again.vetoes.against(np.arange(60))) == list(method.vetoes.against(np.arange(60)))
    assert list(again.vetoes.columns(np.arange(60))) == list(method.vetoes.columns(np.arange(60)))
