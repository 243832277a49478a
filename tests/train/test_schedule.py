"""Learning rates against a literal loop, and the promise that a method's steps are those its schedules count."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.methods import build_method
from safeclip.train.schedule import rate_at
from tests.methods.driven import Data, config, drive
from tests.reference.schedule import rates


@given(steps=st.integers(1, 300), peak=st.floats(1e-6, 1.0), warmup_share=st.floats(0, 1))
def test_rate_equals_the_literal_loop(steps: int, peak: float, warmup_share: float) -> None:
    fast = [rate_at(i, steps, peak, warmup_share) for i in range(steps)]
    assert fast == pytest.approx(rates(steps, peak, warmup_share), rel=1e-9, abs=1e-12 * peak)


@given(steps=st.integers(2, 500), warmup_share=st.floats(0, 1))
def test_a_schedule_rises_to_its_peak_and_ends_at_zero(steps: int, warmup_share: float) -> None:
    found = [rate_at(i, steps, 1e-3, warmup_share) for i in range(steps)]
    rising = min(round(warmup_share * steps), steps - 1)
    assert found[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(0 <= rate <= 1e-3 * (1 + 1e-12) for rate in found)
    assert found[:rising] == sorted(found[:rising])
    assert found[rising:] == sorted(found[rising:], reverse=True), "it never comes back up, as the official code's does"


@pytest.mark.parametrize(("step", "steps"), [(10, 10), (11, 10), (-1, 10), (0, 0)])
@pytest.mark.parametrize("constant", [False, True])
def test_a_schedule_never_runs_past_its_end(step: int, steps: int, constant: bool) -> None:
    with pytest.raises(ValueError, match="never runs past its end"):
        rate_at(step, steps, 1e-3, 0.1, constant)


def test_a_constant_rate_is_its_peak_from_first_to_last() -> None:
    assert {rate_at(i, 7, 5e-6, 0.5, constant=True) for i in range(7)} == {5e-6}


def promised_and_taken(method, cfg, data: Data) -> tuple[Counter, Counter]:
    """Steps by phase and objective: what the schedules say, and how many batches there are."""
    promised: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for epoch in drive(method, cfg, data):
        for name, schedule in epoch.schedules.items():
            key = f"{epoch.phase}/{name}"
            assert promised.setdefault(key, schedule.steps) == schedule.steps, (
                "a schedule keeps its length in its phase"
            )
        taken.update(f"{epoch.phase}/{batch.objective}" for batch in epoch.batches)
    return promised, taken


@settings(max_examples=30, deadline=None)
@given(
    pairs=st.integers(2, 130),
    batch=st.integers(2, 40),
    epochs=st.integers(1, 6),
)
def test_clip_takes_the_steps_it_promises(pairs: int, batch: int, epochs: int) -> None:
    cfg = config(method="clip", epochs=epochs, **{"optim.batch_size": batch})
    data = Data(pairs)
    promised, taken = promised_and_taken(build_method(cfg, pairs, data.dim), cfg, data)
    assert promised == taken


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.integers(12, 130),
    batch=st.integers(2, 40),
    warmup=st.integers(0, 2),
    align=st.integers(0, 2),
    defended=st.integers(1, 6),
    first=st.floats(0.1, 0.6),
    growth=st.floats(0.0, 0.3),
    cap=st.floats(0.2, 0.9),
    copied=st.integers(0, 6),
    order=st.sampled_from(["mixed", "sequential"]),
)
def test_safeclip_takes_the_steps_it_promises_through_growth_cap_and_veto(
    pairs, batch, warmup, align, defended, first, growth, cap, copied, order
) -> None:
    cfg = config(
        epochs=warmup + align + defended,
        **{
            "optim.batch_size": batch,
            "safeclip.warmup_epochs": warmup,
            "safeclip.align_epochs": align,
            "safeclip.share_first": first,
            "safeclip.growth": growth,
            "safeclip.share_cap": cap,
            "safeclip.order": order,
            "safeclip.veto": ["copies"],
        },
    )
    data = Data(pairs, copied=copied)
    promised, taken = promised_and_taken(build_method(cfg, pairs, data.dim), cfg, data)
    assert promised == taken


def test_one_objectives_schedule_never_reads_anothers_steps() -> None:
    """Safe and risky batches are interleaved; each objective's rates are its own literal curve all the same."""
    cfg = config(epochs=6, **{"optim.batch_size": 8, "safeclip.warmup_epochs": 1, "safeclip.share_first": 0.2})
    data = Data(100)
    seen: dict[str, list[float]] = {}
    steps: Counter[str] = Counter()
    peaks = {}
    for epoch in drive(build_method(cfg, 100, data.dim), cfg, data):
        for batch in epoch.batches:
            schedule, key = epoch.schedules[batch.objective], f"{epoch.phase}/{batch.objective}"
            peaks[key] = schedule
            seen.setdefault(key, []).append(
                rate_at(steps[key], schedule.steps, schedule.peak, cfg.optim.warmup_share, schedule.constant)
            )
            steps[key] += 1
    assert set(seen) == {"warmup/unimodal", "align/clip", "defend/unimodal", "defend/clip"}
    for key, found in seen.items():
        schedule = peaks[key]
        wanted = [schedule.peak] * len(found) if schedule.constant else rates(len(found), schedule.peak, 0.1)
        assert found == pytest.approx(wanted, abs=1e-12), key


def test_pairs_lost_to_reading_never_lengthen_a_schedule() -> None:
    """The loop holds a step at its schedule's end where bad pairs have shortened it; it must not need more."""
    cfg = config(method="clip", epochs=4, **{"optim.batch_size": 8})
    method = build_method(cfg, 50, 8)
    usable = np.ones(50, bool)
    before = method.plan(1, usable).schedules["clip"].steps
    usable[:3] = False
    assert method.plan(2, usable).schedules["clip"].steps <= before
