"""SafeCLIP's promises: no pairing of a risky pair is ever learnt, no pair is lost, the safe share grows as told."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from safeclip.methods import build_method
from safeclip.methods.base import Method, State
from safeclip.split import first_share, fit_mixture, share_at
from tests.methods.driven import Data, config, drive
from tests.reference import share as slow_share
from tests.reference.losses import unimodal_loss as slow_loss
from tests.reference.neighbours import neighbour_agreement
from tests.train import toy
from tests.train.test_step import PAIRS, stepper

PAIRS_N = 60
SHARES = {"safeclip.share_first": 0.3, "safeclip.growth": 0.1, "safeclip.share_cap": 0.55, "optim.batch_size": 8}
BOTH = {"safeclip.risk": ["cosine", "neighbours"], "safeclip.veto": ["copies"], "safeclip.neighbours": 5}


def method_for(data: Data, epochs: int = 6, **changes) -> tuple[Method, object]:
    cfg = config(epochs=epochs, **{"safeclip.warmup_epochs": 1, **SHARES, **changes})
    return build_method(cfg, len(data.usable), data.dim), cfg


def embeddings(count: int, seed: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(7, 8, generator=random), dim=1).requires_grad_() for _ in range(count)]


@pytest.mark.parametrize("full", [False, True], ids=["pools empty", "pools full"])
def test_the_unimodal_loss_carries_no_gradient_from_one_modality_to_the_other(full: bool) -> None:
    method, _ = method_for(Data(PAIRS_N), **{"safeclip.pool_size": 10})
    if full:
        for seed, pool in enumerate(method.pools.values()):
            pool.enqueue(torch.randn(10, 8, generator=torch.Generator().manual_seed(seed)))
    image, text, other = embeddings(2, 1), embeddings(2, 2), embeddings(2, 3)
    scale = torch.tensor(12.0)

    def gradient_of_image(captions: list[torch.Tensor]) -> torch.Tensor:
        return torch.autograd.grad(method.loss("unimodal", image, captions, scale), image[1])[0]

    assert torch.equal(gradient_of_image(text), gradient_of_image(other)), "the captions may be anyone's"
    ours, theirs = (method.loss("unimodal", image, captions, scale) for captions in (text, other))
    swapped = method.loss("unimodal", other, text, scale) - method.loss("unimodal", other, other, scale)
    torch.testing.assert_close(ours - theirs, swapped, msg="the loss is a sum of one modality's and the other's")


@pytest.mark.parametrize("full", [False, True], ids=["pools empty", "pools full"])
def test_no_gradient_flows_through_view_1(full: bool) -> None:
    method, _ = method_for(Data(PAIRS_N), **{"safeclip.pool_size": 10})
    if full:
        for pool in method.pools.values():
            pool.enqueue(torch.randn(10, 8))
    image, text = embeddings(2, 1), embeddings(2, 2)
    method.loss("unimodal", image, text, torch.tensor(12.0)).backward()
    assert image[0].grad is None
    assert text[0].grad is None
    assert image[1].grad.abs().sum() > 0
    assert method.objectives["unimodal"].grads == (False, True)


def test_with_one_view_a_risky_pair_looks_for_its_own_neighbour_in_the_pool() -> None:
    method, _ = method_for(Data(PAIRS_N), **{"safeclip.pool_size": 10, "safeclip.risky_views": 1})
    for seed, pool in enumerate(method.pools.values()):
        pool.enqueue(torch.randn(10, 8, generator=torch.Generator().manual_seed(seed)))
    (image,), (text,) = embeddings(1, 1), embeddings(1, 2)
    loss = method.loss("one_view", [image], [text], torch.tensor(12.0))
    slow = []
    for z, pool in zip((image, text), method.pools.values(), strict=True):
        view, ring = z.detach().numpy(), pool.ring.numpy()
        slow.append(slow_loss(view, np.stack([max(ring, key=lambda past, row=row: row @ past) for row in view]), 12.0))
    assert loss.item() == pytest.approx(sum(slow) / 2, rel=1e-5)
    loss.backward()
    assert image.grad.abs().sum() > 0
    before = method.pools["image"].ring.clone()
    method.observe("one_view", np.arange(7), [image], [text])
    assert not torch.equal(method.pools["image"].ring, before), "risky pairs fill the pools, as with two views"


def test_with_one_view_the_warm_up_has_two_and_each_risky_pair_one() -> None:
    data = Data(PAIRS_N)
    method, cfg = method_for(data, **{"safeclip.risky_views": 1})
    for number, epoch in enumerate(drive(method, cfg, data), 1):
        named = {batch.objective for batch in epoch.batches}
        assert named == ({"unimodal"} if number == 1 else {"clip"} if number == 2 else {"clip", "one_view"})
        views = {len(method.objectives[name].grads) for name in named}
        assert views == ({2} if number == 1 else {1})
        planned = Counter(uid for batch in epoch.batches for uid in batch.uids.tolist())
        assert planned == Counter(range(PAIRS_N)), "every pair once"


@pytest.mark.parametrize("scoring", ["fresh", "running"])
@pytest.mark.parametrize("order", ["mixed", "sequential"])
def test_the_warm_up_and_the_risky_pairs_get_the_unimodal_loss_and_no_pair_is_lost(scoring: str, order: str) -> None:
    data = Data(PAIRS_N, copied=5)
    data.usable[[2, 40]] = False
    method, cfg = method_for(data, **BOTH, **{"safeclip.scoring": scoring, "safeclip.order": order})
    phases = []
    for number, epoch in enumerate(drive(method, cfg, data), 1):
        phases.append(epoch.phase)
        planned = Counter(uid for batch in epoch.batches for uid in batch.uids.tolist())
        assert planned == Counter(np.flatnonzero(data.usable).tolist()), "every usable pair once"
        crossed = {uid for b in epoch.batches if b.objective == "clip" for uid in b.uids.tolist()}
        if number == 1:
            assert crossed == set(), "the warm-up is unimodal"
        elif number == 2:
            assert crossed == set(np.flatnonzero(data.usable)[:-5].tolist()), "the alignment reads all but barred pairs"
        else:
            columns = data.columns[-1]
            assert crossed == set(columns["uid"][columns["safe"]].tolist()), "the safe pairs and no other"
    assert phases == ["warmup", "align", *["defend"] * 4]


def test_a_neighbour_is_looked_up_before_the_batch_goes_into_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    made, calls = stepper(toy.clip()), []
    for name, pool in made.method.pools.items():
        for what in ("nearest", "enqueue"):
            whole = getattr(pool, what)
            monkeypatch.setattr(
                pool, what, lambda z, w=what, n=name, f=whole: (calls.append((w, n, z.clone())), f(z))[1]
            )
    inputs = toy.inputs("unimodal", 2, PAIRS)
    view_1 = {"image": None, "text": toy.unit(made.clip.net.encode_text(inputs.tokens[0])).detach()}
    made(inputs, 1e-3)
    assert [call[:2] for call in calls] == [
        ("nearest", "image"), ("nearest", "text"), ("enqueue", "image"), ("enqueue", "text")]  # fmt: skip
    for _, name, z in calls:
        if name == "text":
            torch.testing.assert_close(z, view_1["text"])


def test_only_unimodal_batches_fill_the_pools() -> None:
    method, _ = method_for(Data(PAIRS_N), **{"safeclip.pool_size": 10})
    before = method.pools["image"].ring.clone()
    method.observe("clip", np.arange(7), embeddings(1, 1), embeddings(1, 2))
    assert torch.equal(method.pools["image"].ring, before)


@settings(max_examples=25)
@given(
    pairs=st.integers(20, 90),
    first=st.floats(0.1, 0.6),
    growth=st.floats(0, 0.3),
    cap=st.floats(0.2, 0.9),
    copied=st.integers(0, 12),
    seed=st.integers(0, 9),
)
def test_the_safe_set_is_the_least_risky_allowed_pairs_of_a_growing_share(
    pairs: int, first: float, growth: float, cap: float, copied: int, seed: int
) -> None:
    """Every split against plain loops: agreement, ranks, their sum, the share, the veto."""
    data = Data(pairs, copied=copied, seed=seed)
    changes = {"safeclip.share_first": first, "safeclip.growth": growth, "safeclip.share_cap": cap}
    method, cfg = method_for(data, **{**BOTH, "safeclip.scoring": "fresh", **changes})
    list(drive(method, cfg, data))
    groups = [int(h) for h in data.hashes]
    cosine = [float(a) for a in data.embeddings().cosine]
    agreement = neighbour_agreement(data.image.numpy(), data.text.numpy(), 5, groups)
    allowed = [groups.count(group) <= 2 for group in groups]
    for t, (record, columns) in enumerate(zip(data.records, data.columns, strict=True)):
        share = slow_share.share_at(t, first, growth, cap)
        assert np.allclose(columns["neighbours"], agreement, atol=1e-5)
        risk = slow_share.risk({"cosine": cosine, "neighbours": columns["neighbours"].tolist()})
        assert columns["safe"].tolist() == slow_share.safest(risk, share, allowed)
        assert record["safe_count"] == min(round(share * pairs), sum(allowed))
        assert record["safe_share"] == record["safe_count"] / pairs
        assert record["vetoed"] == pairs - sum(allowed) == (copied if copied > 2 else 0)
        assert not columns["safe"][~np.array(allowed)].any(), "vetoed pairs never enter"
        assert record["epoch"] == 3 + t


@pytest.mark.parametrize("veto", ["patterns", "shifts", "texture"])
def test_what_the_data_alone_says_against_a_pair_keeps_it_out_also_after_a_resume(veto: str) -> None:
    data = Data(400)
    planted = np.arange(5, 29)
    data.words[planted] = data.words[5]  # they share one caption, and what each veto looks for
    if veto == "texture":
        grid = (np.indices((32, 32)).sum(0) % 2 * 255)[..., None]
        data.thumbnails = coarse_pictures(400)
        drawn = np.random.default_rng(1).random((24, 32, 32, 1)) < 0.5  # anew for each picture
        data.thumbnails[planted] = np.where(drawn, grid, data.thumbnails[planted])
    else:
        patch = data.thumbnails[5, -14:, -14:]
        for n, uid in enumerate(planted.tolist()):
            moved = n % 18 if veto == "shifts" else 18
            data.thumbnails[uid, moved : moved + 14, moved : moved + 14] = patch
    data.usable[7] = False
    method, cfg = method_for(data, **{"safeclip.veto": [veto]})
    list(drive(method, cfg, data))
    planted = planted[planted != 7]
    for record, columns in zip(data.records, data.columns, strict=True):
        among = np.isin(columns["uid"], planted)
        assert columns["safe"][among].mean() <= 0.2
        assert 0.8 * len(planted) <= record["vetoed"] <= 1.4 * len(planted)
        assert record["vetoed_by"] == {veto: record["vetoed"]}
        assert columns[veto.removesuffix("s")][among].min() > np.median(columns[veto.removesuffix("s")])
    assert data.glances == 1, "the data does not change, and is looked at once"
    again, _ = method_for(data, **{"safeclip.veto": [veto]})
    again.load_state_dict(method.state_dict())
    assert np.array_equal(again.vetoes.against(np.arange(400))[veto], method.vetoes.against(np.arange(400))[veto])
    again.begin_epoch(cfg.epochs, data.tools())
    assert data.glances == 1


def coarse_pictures(count: int) -> np.ndarray:
    """Pictures of 8 x 8 even fields, uint8 (N, 32, 32, 3)."""
    return np.random.default_rng(0).integers(60, 196, (count, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)


def test_captions_that_look_alike_are_asked_for_their_pictures() -> None:
    """`caption_neighbours` is the neighbour agreement with pictures and captions in each other's place."""
    data = Data(PAIRS_N, copied=4)
    changes = {"safeclip.risk": ["cosine", "caption_neighbours"], "safeclip.neighbours": 5}
    method, cfg = method_for(data, **changes)
    list(drive(method, cfg, data, last=3))
    groups = [int(h) for h in data.hashes]
    agreement = neighbour_agreement(data.text.numpy(), data.image.numpy(), 5, groups)
    columns = data.columns[0]
    assert np.allclose(columns["caption_neighbours"], agreement, atol=1e-5)
    signals = {"cosine": columns["similarity"].tolist(), "caption_neighbours": columns["caption_neighbours"].tolist()}
    assert columns["safe"].tolist() == slow_share.safest(slow_share.risk(signals), 0.3, [True] * PAIRS_N)


def test_one_signal_is_split_by_its_own_order() -> None:
    data = Data(PAIRS_N)
    method, cfg = method_for(data, **{"safeclip.risk": ["cosine"], "safeclip.scoring": "fresh"})
    list(drive(method, cfg, data, last=4))
    cosine = {"cosine": data.embeddings().cosine.tolist()}
    for columns, share in zip(data.columns, (0.3, 0.4), strict=True):
        assert columns["safe"].tolist() == slow_share.safest(slow_share.risk(cosine), share, [True] * PAIRS_N)


def test_the_share_grows_to_its_cap_and_stays() -> None:
    data = Data(PAIRS_N)
    method, cfg = method_for(data, epochs=8)
    list(drive(method, cfg, data))
    assert [r["safe_count"] for r in data.records] == [round(s * PAIRS_N) for s in (0.3, 0.4, 0.5, 0.55, 0.55, 0.55)]


@pytest.mark.parametrize(("low", "high", "clamped"), [(0.05, 0.95, False), (0.05, 0.06, True), (0.94, 0.95, True)])
def test_without_share_first_the_mixture_chooses_the_first_share(low: float, high: float, clamped: bool) -> None:
    data = Data(PAIRS_N)
    changes = {"safeclip.share_first": None, "safeclip.share_min": low, "safeclip.share_max": high}
    method, cfg = method_for(data, **{**SHARES, **changes, "safeclip.share_cap": 0.96})
    list(drive(method, cfg, data, last=4))
    cosine = data.embeddings().cosine.numpy()
    share, _, was_clamped = first_share(fit_mixture(cosine, "converged"), cosine, 0.9, low, high)
    assert was_clamped == clamped
    assert data.records[0]["safe_count"] == round(share * PAIRS_N)
    assert data.records[1]["safe_count"] == round(share_at(1, share, 0.1, 0.96) * PAIRS_N)
    assert [r["clamped"] for r in data.records] == [clamped, False]
    assert bool(data.notes) == clamped, "the log says so"


def test_the_alignment_travels_as_far_as_it_is_told_at_a_constant_rate() -> None:
    for changes, rate in (
        ({}, 1e-2 / 8),  # 60 pairs at 8 are 8 steps
        ({"safeclip.align_epochs": 2}, 1e-2 / 16),
        ({"safeclip.align_rate": 3e-5}, 3e-5),
        ({"safeclip.align_travel": 1.0}, 2e-3),  # never above the peak
        ({"safeclip.align_rate": 5e-3}, 5e-3),  # but where a person says so
    ):
        data = Data(PAIRS_N)
        method, cfg = method_for(data, **{**changes, "optim.rate": 2e-3})
        *_, epoch = drive(method, cfg, data, last=2)
        schedule = epoch.schedules["clip"]
        assert schedule.constant
        assert schedule.peak == pytest.approx(rate)


def test_fresh_scoring_takes_one_pass_a_split_and_running_scoring_none() -> None:
    for scoring, passes in (("fresh", 4), ("running", 0)):
        data, calls = Data(PAIRS_N), []
        whole = data.embeddings
        data.embeddings = lambda whole=whole, calls=calls: (calls.append(1), whole())[1]
        method, cfg = method_for(data, **{"safeclip.scoring": scoring})
        list(drive(method, cfg, data))
        assert len(calls) == passes


def test_a_running_score_is_the_mean_cosine_of_a_pairs_views_when_it_was_last_read() -> None:
    data = Data(PAIRS_N)
    method, _ = method_for(data, **{**BOTH, "safeclip.scoring": "running"})
    wanted, image_mean = {}, {}
    for seed, (objective, views) in enumerate((("unimodal", 2), ("clip", 1), ("unimodal", 2))):
        uids = np.arange(seed * 3, seed * 3 + 7)
        image, text = embeddings(views, seed), embeddings(views, seed + 10)
        method.observe(objective, uids, [e.detach() for e in image], [e.detach() for e in text])
        for row, uid in enumerate(uids.tolist()):
            wanted[uid] = sum((i[row] @ t[row]).item() for i, t in zip(image, text, strict=True)) / views
            image_mean[uid] = F.normalize(sum(i[row] for i in image), dim=0).detach()
    found = method.running.embeddings()
    for uid, cosine in wanted.items():
        assert float(found.cosine[uid]) == pytest.approx(cosine, abs=1e-6)
        torch.testing.assert_close(found.image[uid].float(), image_mean[uid], rtol=1e-3, atol=1e-3)


def stored(state: State) -> State:
    """Through the files that a checkpoint is."""
    return State(
        load(save({k: v.contiguous() for k, v in state.tensors.items()})), json.loads(json.dumps(state.values))
    )


@pytest.mark.parametrize("scoring", ["fresh", "running"])
@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_method_restored_goes_on_as_the_one_saved(scoring: str, after: int) -> None:
    changes = {**BOTH, "safeclip.scoring": scoring, "safeclip.pool_size": 10}

    def plans(epochs) -> list:
        return [[(b.objective, b.uids.tolist()) for b in epoch.batches] + [epoch.schedules] for epoch in epochs]

    one, other = Data(PAIRS_N, copied=5), Data(PAIRS_N, copied=5)
    method, cfg = method_for(one, **changes)
    list(drive(method, cfg, one, last=after))
    restored, _ = method_for(other, **changes)
    restored.load_state_dict(stored(method.state_dict()))
    assert plans([restored.plan(after, other.usable)]) == plans([method.plan(after, one.usable)]), "mid-epoch too"
    seen = len(one.records)
    assert plans(drive(method, cfg, one, first=after + 1)) == plans(drive(restored, cfg, other, first=after + 1))
    assert one.records[seen:] == other.records
    for name, pool in method.pools.items():
        assert torch.equal(pool.ring, restored.pools[name].ring)
        assert (pool.position, pool.filled) == (restored.pools[name].position, restored.pools[name].filled)
    if scoring == "running":
        assert torch.equal(method.running.cosine, restored.running.cosine)


def test_a_skipped_step_changes_neither_pool_nor_running_score() -> None:
    method, _ = method_for(Data(PAIRS_N), **{**BOTH, "safeclip.scoring": "running"})
    uids, (image, text) = np.arange(7), (embeddings(2, 0), embeddings(2, 1))
    method.observe("unimodal", uids, [e.detach() for e in image], [e.detach() for e in text])
    before = {name: t.clone() for name, t in method.state_dict().tensors.items()}
    nothing = [torch.full_like(e, torch.nan) for e in image]
    method.observe("unimodal", uids, nothing, nothing)
    assert all(torch.equal(t, before[name]) for name, t in method.state_dict().tensors.items())
