"""The pool against a list, and the promises: unit length, never NaN, state that resumes exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.config import RunConfig, override
from safeclip.errors import InputError
from safeclip.methods import build_method
from safeclip.model.later import Later
from safeclip.model.pool import Pool
from tests.reference.pool import ListPool


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 9), batches=st.lists(st.integers(0, 25), max_size=8), seed=st.integers(0, 999), data=st.data()
)
def test_pool_equals_a_list_through_any_batches(size: int, batches: list[int], seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    pool, slow = Pool(size, 5), ListPool(size)
    for batch in batches:
        queries = rng.normal(size=(3, 5)).astype(np.float32)
        expected = slow.nearest(queries)
        assert np.allclose(pool.nearest(torch.from_numpy(queries)).numpy(), expected, atol=1e-6)
        z = rng.normal(size=(batch, 5)).astype(np.float32)
        if batch and data.draw(st.booleans()):
            z[rng.integers(batch)] = data.draw(st.sampled_from([np.nan, np.inf, 0.0]))
        pool.enqueue(torch.from_numpy(z))
        slow.enqueue(z)
        assert torch.isfinite(pool.ring).all()
        if pool.filled and size:
            assert torch.allclose(pool.ring.norm(dim=1), torch.ones(size), atol=1e-6)
    assert pool.filled == slow.was_full


def test_until_filled_once_an_embedding_stands_in_for_itself() -> None:
    pool, z = Pool(4, 3), torch.nn.functional.normalize(torch.randn(3, 3), dim=1)
    pool.enqueue(z)
    assert torch.equal(pool.nearest(z + 1), z + 1)
    pool.enqueue(z)
    assert not torch.equal(pool.nearest(z + 1), z + 1)


def test_a_filled_pool_waits_for_nothing_but_the_enqueue_before(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    real = Later.take
    monkeypatch.setattr(Later, "take", lambda later: taken.append(1) or real(later))
    pool = Pool(4, 3)
    for _ in range(2):
        pool.enqueue(torch.randn(2, 3))
    assert pool.filled
    taken.clear()
    for step in range(3):
        assert len(taken) == max(0, step - 1)
        pool.nearest(torch.randn(5, 3))
        pool.enqueue(torch.randn(2, 3))
    assert len(taken) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_pool_is_the_one_of_the_cpu_and_never_syncs() -> None:
    here, there = Pool(6, 4), Pool(6, 4).to("cuda")
    batches = [torch.randn(4, 4) for _ in range(6)]
    batches[3][1] = torch.nan
    sent = [z.cuda() for z in batches]
    for i, z in enumerate(batches):
        here.enqueue(z)
        torch.cuda.set_sync_debug_mode("error" if i > 2 else "default")
        try:
            there.enqueue(sent[i])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(there.ring.cpu(), here.ring)
    assert (there.position, there.filled) == (here.position, here.filled)


def test_no_gradient_leaves_the_pool() -> None:
    pool, z = Pool(2, 3), torch.randn(2, 3, requires_grad=True)
    assert not pool.nearest(z).requires_grad
    pool.enqueue(z)
    assert not pool.nearest(z).requires_grad
    assert not pool.ring.requires_grad


def test_bfloat16_goes_in_as_unit_float32() -> None:
    pool = Pool(3, 8)
    pool.enqueue((5 * torch.randn(3, 8)).bfloat16())
    assert pool.ring.dtype == torch.float32
    assert torch.allclose(pool.ring.norm(dim=1), torch.ones(3), atol=1e-6)
    assert pool.nearest(torch.randn(2, 8).bfloat16()).dtype == torch.float32


def test_a_lookup_in_parts_equals_one_in_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, z = Pool(50, 6), torch.randn(17, 6)
    pool.enqueue(torch.randn(50, 6))
    whole = pool.nearest(z)
    monkeypatch.setattr("safeclip.model.pool._BLOCK", 100)
    assert torch.equal(pool.nearest(z), whole)


@pytest.mark.parametrize("before", [3, 7, 12])
def test_a_restored_pool_goes_on_as_the_saved_one(before: int) -> None:
    torch.manual_seed(0)
    first, second = Pool(7, 4), Pool(7, 4)
    first.enqueue(torch.randn(before, 4))
    state, ring = first.state_dict(), first.ring.clone()
    first.enqueue(torch.randn(2, 4))
    second.load_state_dict(state)
    assert torch.equal(second.ring, ring), "a saved state does not move with the pool"
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert (second.position, second.filled) == (before % 7, before >= 7)
    first.load_state_dict(state)
    for _ in range(3):
        z = torch.randn(5, 4)
        assert torch.equal(first.nearest(z), second.nearest(z))
        first.enqueue(z)
        second.enqueue(z)
        assert torch.equal(first.ring, second.ring)


def test_a_state_of_another_shape_is_refused_with_the_settings_that_mend_it() -> None:
    pool = Pool(7, 4)
    with pytest.raises(InputError, match=r"keep the method's pool_size"):
        pool.load_state_dict(Pool(6, 4).state_dict())
    with pytest.raises(InputError, match="holds"):
        pool.load_state_dict({"ring": torch.zeros(7, 4)})
    damaged = pool.state_dict()
    damaged["ring"][0, 0] = torch.nan
    with pytest.raises(InputError, match="damaged"):
        pool.load_state_dict(damaged)


def test_wrong_dim_is_refused() -> None:
    with pytest.raises(ValueError, match=r"give \(batch, 4\)"):
        Pool(7, 4).enqueue(torch.zeros(2, 5))


def test_safeclips_pools_are_a_share_of_the_pairs_up_to_a_limit_or_as_large_as_told() -> None:
    for changes, size in (({}, 262_144), ({"safeclip.pool_size": 300_000}, 300_000), ({"safeclip.pool_size": 0}, 0)):
        method = build_method(override(RunConfig(), changes), 20_000_000, 4)
        assert [pool.size for pool in method.pools.values()] == [size, size]
    assert RunConfig().safeclip.pool(1_000) == 20
