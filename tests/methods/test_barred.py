"""Pairs that vetoes bar: risky ones, in the alignment too, or left out from the first epoch on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from safeclip.errors import InputError, RunError
from safeclip.methods import build_method
from safeclip.methods.vetoes import Vetoes
from safeclip.split import cut_at, fit_mixture
from tests.methods.driven import Data, config, drive

PAIRS, COPIED = 90, 20
CHANGES = {
    "epochs": 6,
    "optim.batch_size": 8,
    "safeclip.warmup_epochs": 1,
    "safeclip.share_first": 0.4,
    "safeclip.share_cap": 0.95,
    "safeclip.growth": 0.2,
    "safeclip.risk": ["cosine", "neighbours"],
    "safeclip.neighbours": 5,
    "safeclip.veto": ["copies"],
}


@pytest.mark.parametrize("scoring", ["fresh", "running"])
@pytest.mark.parametrize("barred", ["risky", "left out"])
@pytest.mark.parametrize("align", [1, 2])
def test_pairs_that_are_left_out_are_in_no_batch_and_the_others_in_one_of_each_epoch(
    align: int, scoring: str, barred: str
) -> None:
    data = Data(PAIRS, copied=COPIED)
    data.usable[3] = False
    cfg = config(**CHANGES, **{"safeclip.scoring": scoring, "safeclip.barred": barred, "safeclip.align_epochs": align})
    method = build_method(cfg, PAIRS, data.dim)
    copied = set(range(PAIRS - COPIED, PAIRS))
    left = copied if barred == "left out" else set()
    steps: Counter[str] = Counter()
    wanted: dict[str, int] = {}
    for epoch in drive(method, cfg, data):
        planned = np.concatenate([batch.uids for batch in epoch.batches])
        assert sorted(planned.tolist()) == sorted(set(range(PAIRS)) - {3} - left)
        crossed = np.concatenate([[], *[batch.uids for batch in epoch.batches if batch.objective == "clip"]])
        assert not copied & set(crossed.tolist())
        if epoch.phase == "align":
            assert len(crossed) == PAIRS - 1 - COPIED
            assert {schedule.constant for schedule in epoch.schedules.values()} == {True}
            assert len({schedule.peak for schedule in epoch.schedules.values()}) == 1
        if epoch.phase == "defend":
            steps.update(batch.objective for batch in epoch.batches)
            wanted = {name: schedule.steps for name, schedule in epoch.schedules.items()}
    assert steps == Counter(wanted), "the rates end at zero with the last step"
    for record, columns in zip(data.records, data.columns, strict=True):
        assert record["vetoed"] == COPIED
        out = np.isin(columns["uid"], list(copied))
        assert not columns["safe"][out].any()
        for name in ("similarity", "p_safe", "risk", "neighbours"):
            assert np.isnan(columns[name][out]).all() == (barred == "left out")
            assert np.isfinite(columns[name][~out]).all()
    assert data.records[-1]["safe_count"] == PAIRS - 1 - COPIED
    trained = sorted(set(range(PAIRS)) - {3} - left)
    asked = fit_mixture(data.embeddings().cosine.numpy()[trained])
    assert data.records[-1]["means"] == pytest.approx(asked.means, abs=1e-5), "of those that steps have seen, alone"


def test_the_first_share_by_the_mixture_is_one_of_the_pairs_that_are_trained_on() -> None:
    data = Data(PAIRS, copied=COPIED)
    own = {"safeclip.scoring": "fresh", "safeclip.barred": "left out", "safeclip.share_first": None}
    cfg = config(**CHANGES | own | {"safeclip.share_min": 0.5, "safeclip.share_max": 0.5, "safeclip.warmup_epochs": 0})
    method = build_method(cfg, PAIRS, data.dim)
    list(drive(method, cfg, data))
    assert data.records[0]["safe_count"] == (PAIRS - COPIED) / 2


def test_who_was_left_out_does_not_come_back_when_its_copies_turn_out_unreadable() -> None:
    data = Data(PAIRS, copied=3)
    cfg = config(**CHANGES, **{"safeclip.scoring": "running", "safeclip.barred": "left out"})
    method = build_method(cfg, PAIRS, data.dim)
    for number, epoch in enumerate(drive(method, cfg, data), 1):
        assert not {PAIRS - 2, PAIRS - 1} & {uid for batch in epoch.batches for uid in batch.uids.tolist()}
        data.usable[PAIRS - 3] = number < 2
    for columns in data.columns:
        among = columns["uid"] >= PAIRS - 3
        assert among.sum() == 2
        assert np.isnan(columns["similarity"][among]).all(), "no step has seen them"
        assert not columns["safe"][among].any()


@pytest.mark.parametrize("barred", ["risky", "left out"])
def test_where_the_safe_share_may_be_all_every_allowed_pair_is_safe_in_the_end(barred: str) -> None:
    data = Data(PAIRS, copied=COPIED)
    cfg = config(**CHANGES | {"safeclip.share_cap": 1.0, "safeclip.growth": 0.5, "safeclip.barred": barred})
    *_, last = drive(build_method(cfg, PAIRS, data.dim), cfg, data)
    crossed = {uid for batch in last.batches if batch.objective == "clip" for uid in batch.uids.tolist()}
    assert crossed == set(range(PAIRS - COPIED))


def test_what_is_left_out_stays_so_after_a_resume_in_the_warm_up() -> None:
    data = Data(PAIRS, copied=COPIED)
    cfg = config(**CHANGES, **{"safeclip.scoring": "running", "safeclip.barred": "left out"})
    method, again = (build_method(cfg, PAIRS, data.dim) for _ in range(2))
    list(drive(method, cfg, data, last=1))
    again.load_state_dict(method.state_dict())
    planned = np.concatenate([batch.uids for batch in again.plan(1, data.usable).batches])
    assert len(planned) == PAIRS - COPIED


def test_another_word_is_refused() -> None:
    with pytest.raises(InputError, match="choose among risky, left out"):
        config(**{"safeclip.barred": "gone"})


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("barred", ["risky", "left out"])
def test_where_every_pair_is_barred_it_says_so(barred: str, align: int) -> None:
    data = Data(PAIRS, copied=PAIRS)
    own = {"safeclip.barred": barred, "safeclip.share_first": None, "safeclip.scoring": "fresh"}
    cfg = config(**CHANGES | own | {"safeclip.align_epochs": align})
    with pytest.raises(RunError, match=f"all {PAIRS} pairs are vetoed"):
        list(drive(build_method(cfg, PAIRS, data.dim), cfg, data, last=3))


@pytest.mark.parametrize("barred", ["risky", "left out"])
def test_barred_pairs_lend_their_places_to_none_below_the_cut(barred: str) -> None:
    data, copied = Data(PAIRS, copied=COPIED), np.arange(PAIRS) >= PAIRS - COPIED
    own = {"safeclip.risk": ["cosine"], "safeclip.barred": barred, "safeclip.share_first": None}
    cfg = config(**CHANGES | own | {"safeclip.share_max": 0.9, "safeclip.scoring": "fresh"})
    list(drive(build_method(cfg, PAIRS, data.dim), cfg, data, last=3))
    cosine = data.embeddings().cosine.numpy()
    mixture = fit_mixture(cosine if barred == "risky" else cosine[~copied], "converged")
    above = ~copied & (cosine >= cut_at(mixture, 0.9))
    assert 0 < above.sum() < (cosine >= cut_at(mixture, 0.9)).sum(), "some of those above the cut are barred"
    assert data.columns[0]["safe"].nonzero()[0].tolist() == above.nonzero()[0].tolist()


def test_copies_that_are_barred_from_a_resumed_run_on_are_looked_for() -> None:
    """In a checkpoint of before, that nobody had looked must not pass for that there are none."""
    data = Data(60, copied=9)
    own, now = (config(**{"safeclip.veto": veto}).safeclip for veto in ([], ["copies"]))
    before, resumed = (Vetoes(one, 60, with_groups=False, decides=True) for one in (own, now))
    before.look(data.tools())
    resumed.load_state(before.state())
    resumed.look(data.tools())
    assert resumed.against(np.arange(60))["copies"].sum() == 9
    again = Vetoes(now, 60, with_groups=False, decides=True)
    again.load_state(resumed.state())
    assert np.array_equal(again.groups, resumed.groups), "what was found is kept"
    older = resumed.state()
    older.tensors["groups"] = torch.arange(60)  # as every checkpoint had them once, whether looked for or not
    del older.tensors["veto.groups"]
    again.load_state(older)
    again.look(data.tools())
    assert np.array_equal(again.groups, resumed.groups)
