"""RoCLIP against its slow twin; when it matches, what the pool holds, where gradients go."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from safeclip.errors import InputError
from safeclip.methods import build_method
from safeclip.methods.base import Method, State
from safeclip.objective import clip_loss
from safeclip.train.schedule import rate_at
from tests.methods.driven import Data, config, drive
from tests.reference.roclip import SlowRoclip
from tests.reference.schedule import rates

PAIRS = 50
SCALE = torch.tensor(11.0)


def method_for(pairs: int = PAIRS, **changes) -> tuple[Method, object]:
    cfg = config(method="roclip", **{"epochs": 6, "roclip.pool_size": 10, "optim.batch_size": 8, **changes})
    return build_method(cfg, pairs, Data.dim), cfg


def embeddings(views: int, count: int, seed: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(count, Data.dim, generator=random), dim=1).requires_grad_() for _ in range(views)]


def full(method: Method) -> Method:
    """With a pool of made-up captions."""
    pool = method.pools["text"]
    pool.enqueue(embeddings(1, pool.size, 9)[0])
    return method


@settings(max_examples=40)
@given(
    every=st.integers(1, 3),
    first=st.integers(2, 4),
    pool=st.integers(1, 30),
    views=st.sampled_from([1, 2]),
    sizes=st.lists(st.integers(2, 9), min_size=3, max_size=4),
    seed=st.integers(0, 99),
)
def test_every_steps_loss_equals_the_twins_through_cold_start_and_matching_epochs(
    every, first, pool, views, sizes, seed
) -> None:
    changes = {"roclip.every": every, "roclip.first": first, "roclip.pool_size": pool, "views.clip_count": views}
    method, _ = method_for(**changes)
    slow, usable = SlowRoclip(every, first, pool), np.ones(PAIRS, bool)
    for epoch in range(1, 5):
        (objective,) = {batch.objective for batch in method.plan(epoch, usable).batches}
        for step, size in enumerate(sizes):
            image, text = (embeddings(views, size, seed + 100 * epoch + 10 * step + 5000 * side) for side in (0, 1))
            loss = method.loss(objective, image, text, SCALE)
            method.observe(objective, np.arange(size), [e.detach() for e in image], [e.detach() for e in text])
            arrays = [[e.detach().numpy() for e in side] for side in (image, text)]
            assert loss.item() == pytest.approx(slow.step(epoch, *arrays, 11.0), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("every", "first", "matching"),
    [
        (1, 2, [2, 3, 4, 5, 6]),
        (2, 2, [2, 4, 6]),
        (3, 2, [3, 6]),
        (6, 2, [6]),
        (1, 5, [5, 6]),
        (2, 3, [4, 6]),
        (3, 4, [6]),
    ],
)
def test_every_kth_epoch_matches_from_the_first_that_may_and_never_epoch_1(
    every: int, first: int, matching: list[int]
) -> None:
    method, cfg = method_for(**{"roclip.every": every, "roclip.first": first})
    assert cfg.roclip.first_match() == matching[0]
    phases = [epoch.phase for epoch in drive(method, cfg, Data(PAIRS))]
    assert [i for i, phase in enumerate(phases, 1) if phase == "match"] == matching


def test_in_a_matching_epoch_the_pairs_own_captions_play_no_part() -> None:
    method = full(method_for()[0])
    image, text, other = embeddings(1, 7, 1), embeddings(1, 7, 2), embeddings(1, 7, 3)
    loss = method.loss("match", image, text, SCALE)
    assert torch.equal(loss, method.loss("match", image, other, SCALE))
    assert torch.equal(loss, clip_loss(image[0], method.pools["text"].nearest(image[0]), SCALE))
    loss.backward()
    assert text[0].grad is None, "the text tower rests"
    assert image[0].grad.abs().sum() > 0


def test_a_picture_is_matched_before_its_own_caption_enters_the_pool() -> None:
    """Were it the other way round, a picture whose caption fits it best would get just that one."""
    method = full(method_for()[0])
    image = embeddings(1, 7, 1)
    before = method.pools["text"].ring.clone()
    loss = method.loss("match", image, image, SCALE)
    assert torch.equal(method.pools["text"].ring, before), "computing a loss puts nothing in"
    method.observe("match", np.arange(7), [image[0].detach()], [image[0].detach()])
    assert method.loss("match", image, image, SCALE).item() < loss.item() - 0.1


def test_every_batch_refills_the_pool_with_detached_unit_captions_of_the_first_view() -> None:
    for objective in ("clip", "match"):
        method, _ = method_for(**{"views.clip_count": 2})
        image, text = embeddings(2, 7, 1), embeddings(2, 7, 2)
        method.observe(objective, np.arange(7), image, text)
        pool = method.pools["text"]
        assert torch.allclose(pool.ring[:7], text[0].detach(), atol=1e-6)
        assert not pool.ring.requires_grad
        assert pool.position == 7, "one view, as many as the batch has pairs"


def test_a_matching_epoch_that_starts_with_a_cold_pool_says_so() -> None:
    for size, told in ((PAIRS + 1, 1), (PAIRS, 0)):
        data = Data(PAIRS)
        method, cfg = method_for(epochs=2, **{"roclip.pool_size": size})
        list(drive(method, cfg, data))
        assert len(data.notes) == told


def test_its_batches_views_and_rates_are_plain_clips() -> None:
    method, cfg = method_for(epochs=5)
    plain_cfg = config(method="clip", epochs=5, **{"optim.batch_size": 8})
    plain = build_method(plain_cfg, PAIRS, Data.dim)
    found, step = [], 0
    for ours, theirs in zip(drive(method, cfg, Data(PAIRS)), drive(plain, plain_cfg, Data(PAIRS)), strict=True):
        assert [b.uids.tolist() for b in ours.batches] == [b.uids.tolist() for b in theirs.batches]
        for batch in ours.batches:
            schedule = ours.schedules[batch.objective]
            assert schedule.shared == "clip", "the loop counts all of its steps as one schedule's"
            found.append(rate_at(step, schedule.steps, schedule.peak, cfg.optim.warmup_share))
            step += 1
    assert found == pytest.approx(rates(5 * 7, cfg.optim.rate, cfg.optim.warmup_share), abs=1e-15)
    for objective in method.objectives.values():
        assert objective == plain.objectives["clip"]


def test_the_pool_is_a_share_of_the_pairs_or_as_large_as_told() -> None:
    assert method_for(1000, **{"roclip.pool_size": None})[0].pools["text"].size == 20
    assert method_for(1000, **{"roclip.pool_size": 7})[0].pools["text"].size == 7
    assert method_for(400_000_000, **{"roclip.pool_size": None})[0].pools["text"].size == 262_144
    with pytest.raises(InputError, match=r"roclip\.pool_share = 0\.02: of 20 pairs that is no caption; give"):
        method_for(20, **{"roclip.pool_size": None})


def test_a_method_restored_goes_on_as_the_one_saved() -> None:
    method, cfg = method_for()
    list(drive(method, cfg, Data(PAIRS), last=3))
    state = method.state_dict()
    restored, _ = method_for()
    restored.load_state_dict(State(load(save(state.tensors)), json.loads(json.dumps(state.values))))
    one, other = method.pools["text"], restored.pools["text"]
    assert torch.equal(one.ring, other.ring)
    assert (one.position, one.filled) == (other.position, other.filled)
    image = embeddings(1, 7, 1)
    assert torch.equal(method.loss("match", image, image, SCALE), restored.loss("match", image, image, SCALE))
