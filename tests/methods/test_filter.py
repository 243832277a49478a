"""Filtering against its slow twin: what is scored, what is dropped, and that the final model starts anew without it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from safeclip.config import DETECTORS
from safeclip.errors import RunError
from safeclip.methods import build_method
from safeclip.methods.base import Method, State
from safeclip.methods.filter import least_outlying
from tests.methods.driven import Data, config, drive
from tests.reference import outliers as slow
from tests.reference.filter import least_outlying as slow_least_outlying
from tests.reference.neighbours import neighbour_agreement

PAIRS = 60


def method_for(pairs: int = PAIRS, **changes) -> tuple[Method, object]:
    cfg = config(
        method="filter", **{"epochs": 5, "filter.look_epochs": 2, "filter.k": 5, "optim.batch_size": 8, **changes}
    )
    return build_method(cfg, pairs, Data.dim), cfg


@given(
    risk=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.5, 2.0]) | st.floats(-9, 9), min_size=4, max_size=30),
    share=st.floats(0.05, 0.95),
)
def test_the_pairs_of_highest_risk_go_as_in_the_twin(risk: list[float], share: float) -> None:
    dropped = round(share * len(risk))
    if dropped == 0 or len(risk) - dropped < 2:
        with pytest.raises(RunError, match=r"filter\.share"):
            least_outlying(np.array(risk), share)
    else:
        assert least_outlying(np.array(risk), share).tolist() == slow_least_outlying(risk, share)


def test_a_risk_that_is_nan_stops_the_run_with_one_line() -> None:
    with pytest.raises(RunError, match=r"the risk of 1 pairs is NaN; lower optim\.rate"):
        least_outlying(np.array([0.0, np.nan, 1.0]), 0.4)


@pytest.mark.parametrize("detector", DETECTORS)
def test_each_detectors_high_end_is_what_is_dropped(detector: str) -> None:
    """Of the usable pairs alone; outliers high, as published; agreement and cosine the other way round."""
    data = Data(PAIRS, copied=3)
    data.usable[[2, 40]] = False
    method, cfg = method_for(**{"filter.detector": detector, "filter.share": 0.2, "filter.reference": None})
    list(drive(method, cfg, data))
    (columns,), (record,) = data.columns, data.records
    rows = np.flatnonzero(data.usable)
    image, text, among = data.image[rows].numpy(), data.text[rows].numpy(), list(range(len(rows)))
    if detector == "cosine":
        wanted = [-float(c) for c in data.embeddings().cosine[rows]]
    elif detector == "neighbours":
        wanted = [-a for a in neighbour_agreement(image, text, 5, [int(h) for h in data.hashes[rows]])]
    else:
        wanted = getattr(slow, {"dao": "log_dao"}.get(detector, detector))(image, 5, among)
    assert columns["risk"] == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert columns["risk"].dtype == np.float32
    assert columns["safe"].tolist() == slow_least_outlying(columns["risk"].tolist(), 0.2)
    assert columns["uid"].tolist() == rows.tolist()
    assert np.array_equal(columns["similarity"], data.embeddings().cosine.numpy()[rows])
    assert record == {"epoch": 3, "detector": detector, "safe_share": 46 / 58, "safe_count": 46}
    json.dumps(record)


def test_neighbours_are_sought_in_a_reference_set_of_the_size_asked_for() -> None:
    from safeclip.signals.nearest import drawn

    data = Data(PAIRS)
    method, cfg = method_for(**{"filter.detector": "kdist", "filter.reference": 20})
    list(drive(method, cfg, data))
    wanted = slow.kdist(data.image.numpy(), 5, drawn(data.image, 20).tolist())
    assert data.columns[0]["risk"] == pytest.approx(wanted, abs=1e-6)


def test_it_looks_at_all_pairs_then_starts_once_anew_and_reads_the_kept_ones_alone() -> None:
    data = Data(PAIRS)
    data.usable[7] = False
    method, cfg = method_for()
    phases, restarts = [], []
    for epoch in drive(method, cfg, data):
        phases.append(epoch.phase)
        restarts.append(data.restarts)
        planned = sorted(uid for batch in epoch.batches for uid in batch.uids.tolist())
        if epoch.phase == "look":
            assert planned == np.flatnonzero(data.usable).tolist()
        else:
            assert planned == data.columns[0]["uid"][data.columns[0]["safe"]].tolist()
    assert phases == ["look"] * 2 + ["retrain"] * 3
    assert restarts == [0, 0, 1, 1, 1]
    assert len(data.records) == 1
    assert data.notes == ["6 of 59 pairs dropped by dao; training starts again"]


def test_the_first_model_is_scored_before_it_is_forgotten() -> None:
    data, order = Data(PAIRS), []
    embed, restart = data.embeddings, data._restart
    data.embeddings = lambda: (order.append("embed"), embed())[1]
    data._restart = lambda: (order.append("restart"), restart())[1]
    method, cfg = method_for()
    list(drive(method, cfg, data))
    assert order == ["embed", "restart"]


@settings(max_examples=30)
@given(pairs=st.integers(20, 130), batch=st.integers(2, 40), look=st.integers(1, 4), rest=st.integers(1, 4))
def test_each_of_the_two_trainings_takes_the_steps_that_its_schedule_promises(pairs, batch, look, rest) -> None:
    changes = {"epochs": look + rest, "filter.look_epochs": look, "optim.batch_size": batch}
    method, cfg = method_for(pairs, **changes)
    taken: dict[str, int] = {}
    promised: dict[str, set[int]] = {}
    for epoch in drive(method, cfg, Data(pairs)):
        taken[epoch.phase] = taken.get(epoch.phase, 0) + len(epoch.batches)
        promised.setdefault(epoch.phase, set()).add(epoch.schedules["clip"].steps)
    assert {phase: {steps} for phase, steps in taken.items()} == promised


@pytest.mark.parametrize(("epochs", "look"), [(2, 1), (5, 2), (32, 16)])
def test_unless_told_otherwise_it_looks_for_half_of_the_epochs(epochs: int, look: int) -> None:
    method, _ = method_for(epochs=epochs, **{"filter.look_epochs": None})
    phases = [method.plan(epoch, np.ones(PAIRS, bool)).phase for epoch in range(1, epochs + 1)]
    assert phases.count("look") == look


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_method_restored_goes_on_as_the_one_saved(after: int) -> None:
    def plans(epochs) -> list:
        return [[(b.objective, b.uids.tolist()) for b in epoch.batches] + [epoch.schedules] for epoch in epochs]

    one, other = Data(PAIRS), Data(PAIRS)
    method, cfg = method_for()
    list(drive(method, cfg, one, last=after))
    restored, _ = method_for()
    state = method.state_dict()
    restored.load_state_dict(State(load(save(state.tensors)), json.loads(json.dumps(state.values))))
    assert plans([restored.plan(after, other.usable)]) == plans([method.plan(after, one.usable)]), "mid-epoch too"
    seen = len(one.records)
    assert plans(drive(method, cfg, one, first=after + 1)) == plans(drive(restored, cfg, other, first=after + 1))
    assert one.records[seen:] == other.records
    assert torch.equal(method.state_dict().tensors["kept_bits"], restored.state_dict().tensors["kept_bits"])
