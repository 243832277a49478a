"""What a setting says is what is done: each reaches the place where it counts."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from safeclip.config import DataConfig, ModelConfig, ViewsConfig
from safeclip.data.draws import uniforms
from safeclip.data.image_views import CROP_DRAWS, random_crop
from safeclip.data.loader import Loader, Recipe, drawn_captions
from safeclip.data.plan import Batch, plan
from safeclip.data.read import Reader
from safeclip.methods import build_method
from safeclip.methods.verdicts import SCORED
from safeclip.model.build import build
from safeclip.model.embed import Embedder
from safeclip.presets import preset
from safeclip.run import RunDir
from safeclip.split import first_share, fit_mixture
from safeclip.train import scoring
from safeclip.train.bad_pairs import BadPairs
from tests import tiny
from tests.data.test_loader import RECIPES, SIZE, Source, tokenize
from tests.methods.driven import Data, config, drive
from tests.methods.test_safeclip import method_for
from tests.reference.neighbours import neighbour_agreement
from tests.train import toy
from tests.train.test_rivals import trainer
from tests.train.test_scoring import Pictures, nothing
from tests.train.test_step import stepper


@pytest.mark.parametrize("text", ["eda", "none"])
def test_risky_pairs_and_the_warm_up_see_augmented_views(text):
    for views, name in ((2, "unimodal"), (1, "one_view")):
        method, _ = method_for(Data(60), **{"views.text": text, "safeclip.risky_views": 1})
        assert method.objectives[name].recipe == Recipe(views, augment=True, eda=text == "eda")


def test_what_left_the_plan_and_what_will_leave_it_are_told_apart_after_a_resume(tmp_path):
    one, two = (BadPairs(tmp_path / "bad_pairs.parquet", 100, 0.2) for _ in range(2))
    one.add([(7, "torn")])
    one.settle()
    one.add([(8, "torn")])  # in the epoch under way, whose plan stays
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert np.flatnonzero(~two.usable).tolist() == [7]
    two.settle()
    assert np.flatnonzero(~two.usable).tolist() == [7, 8]


class Several(Pictures):
    def read(self, uid: int):
        picture, _ = super().read(uid)
        return picture, tuple(f"a picture of thing {uid * k}" for k in range(1, 2 + uid % 3))


def test_without_a_draw_a_pair_is_scored_by_the_mean_over_its_captions(tmp_path):
    reader: Any = Several()
    embedder = Embedder(build(ModelConfig(name="safeclip-emoji", precision="fp32")), torch.device("cpu"))
    found = scoring.embed_all(reader, embedder, BadPairs(tmp_path / "b.parquet", 6, 0.5), None, True, nothing)
    for uid in (0, 1, 2, 4, 5):
        picture, captions = reader.read(uid)
        image, texts = embedder.images([picture])[0], embedder.texts(captions)
        torch.testing.assert_close(found.cosine[uid], (texts @ image).mean(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            found.text[uid], torch.nn.functional.normalize(texts.mean(0), dim=0), rtol=1e-4, atol=1e-5
        )


def test_the_optimizer_has_the_settings_numbers():
    groups = stepper(
        toy.clip(), **{"optim.betas": [0.8, 0.9], "optim.eps": 1e-3, "optim.weight_decay": 0.3}
    ).optimizer.param_groups
    assert {g["betas"] for g in groups} == {(0.8, 0.9)}
    assert {g["eps"] for g in groups} == {1e-3}
    assert sorted(g["weight_decay"] for g in groups) == [0.0, 0.3]


@pytest.mark.parametrize("name", SCORED)
def test_a_vetos_limit_is_its_setting(name):
    field = f"{SCORED[name].column}_deviations"
    assert SCORED[name].limit(config(**{f"safeclip.{field}": 1.25}).safeclip) == 1.25


@pytest.mark.parametrize(("allowed", "vetoed"), [(1, 5), (4, 5), (5, 0)])
def test_a_picture_may_occur_as_often_as_is_allowed(allowed, vetoed):
    data = Data(60, copied=5)
    method, cfg = method_for(data, **{"safeclip.veto": ["copies"], "safeclip.copies_allowed": allowed})
    list(drive(method, cfg, data, last=3))
    assert data.records[0]["vetoed"] == vetoed


@pytest.mark.parametrize("fit", ["converged", "paper"])
@pytest.mark.parametrize("posterior", [0.5, 0.99])
def test_the_first_share_is_that_of_the_fit_and_the_posterior_asked_for(fit, posterior):
    data = Data(300)
    own = {
        "safeclip.share_first": None,
        "safeclip.share_min": 0.01,
        "safeclip.share_max": 0.99,
        "safeclip.share_cap": 0.99,
    }
    method, cfg = method_for(data, **{**own, "safeclip.fit": fit, "safeclip.posterior": posterior})
    list(drive(method, cfg, data, last=3))
    cosine = data.embeddings().cosine.numpy()
    wanted = fit_mixture(cosine, fit)
    assert data.records[0]["iterations"] == wanted.iterations
    share, _, _ = first_share(wanted, cosine, posterior, 0.01, 0.99)
    assert data.records[0]["safe_count"] == round(share * 300)


@pytest.mark.parametrize("k", [2, 9])
def test_agreement_is_of_as_many_neighbours_as_are_asked_for(k):
    data = Data(60)
    asked = {"safeclip.risk": ["cosine", "neighbours"], "safeclip.neighbours": k, "safeclip.scoring": "fresh"}
    method, cfg = method_for(data, **asked)
    list(drive(method, cfg, data, last=3))
    wanted = neighbour_agreement(data.image.numpy(), data.text.numpy(), k, list(range(60)))
    assert np.allclose(data.columns[0]["neighbours"], wanted, atol=1e-5)


def test_a_view_is_made_with_the_settings_crop_and_strength():
    views = ViewsConfig(crop_scale=(0.9, 1.0), text_strength=0.0)
    source, uids = Source(40), np.arange(6)
    made = Loader(Reader(source, DataConfig()), views, SIZE, tokenize, RECIPES, 4).make(3, Batch(uids, "two"))
    draws = uniforms(4, 3, uids, 10, CROP_DRAWS)
    for i, uid in enumerate(uids.tolist()):
        assert np.array_equal(made.images[0, i].numpy(), random_crop(source[uid].image, SIZE, (0.9, 1.0), draws[i]))
    assert torch.equal(
        made.tokens[0], tokenize(drawn_captions([source.captions(u) for u in uids.tolist()], uids, 4, 3))
    )


def test_numbers_of_the_presets():
    run = preset("paper")
    assert (run.optim.batch_size, run.optim.clip_norm, run.optim.unimodal_rate, run.views.blur_share) == (
        512,
        None,
        None,
        1.0,
    )
    assert (run.safeclip.share_min, run.safeclip.share_max, run.safeclip.barred, run.safeclip.risky_views) == (
        0.05,
        0.5,
        "risky",
        2,
    )
    for name in ("coco_rn50", "vg_rn50"):
        assert (preset(name).epochs, preset(name).optim.batch_size, preset(name).data.workers) == (48, 256, 8)


@pytest.mark.parametrize("method", ["clip", "safeclip", "roclip"])
def test_a_seed_is_the_plans_too(method):
    cfg, data = (
        config(
            method=method,
            epochs=6,
            seed=5,
            **{"optim.batch_size": 8, "safeclip.warmup_epochs": 1, "roclip.pool_size": 9},
        ),
        Data(50),
    )
    (first, *_) = build_method(cfg, 50, data.dim).plan(1, data.usable).batches
    wanted = plan(5, 1, {first.objective: np.arange(50)}, 8)[0]
    assert first.uids.tolist() == wanted.uids.tolist()


@pytest.mark.parametrize("choice", ["one", "mean"])
def test_a_scoring_pass_reads_the_captions_that_its_own_epoch_trains_on(choice, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(scoring, "embed_all", lambda reader, embedder, bad, draw, *_: asked.append(draw))
    made = trainer(tmp_path / "run", {"data.caption_choice": choice, "seed": 5})
    made.at.epoch = 3
    made._tools(None).embed(False)
    captions, uids = [tuple("abcdefgh")] * 50, np.arange(50)
    if choice == "mean":
        assert asked == [None]
    else:
        assert asked[0](captions, uids) == drawn_captions(captions, uids, seed=5, epoch=3)


def test_a_seed_is_that_of_the_weights_and_of_the_views(tmp_path):
    made = trainer(tmp_path / "run", {"seed": 5})
    begun = build(made.config.model, seed=5).net.state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in made.clip.net.state_dict().items())
    assert made.loader.seed == 5


def test_random_state_goes_on_where_the_checkpoint_stood(tmp_path):
    made = trainer(tmp_path / "run", {})
    made.keeper.save(made.at, "epoch-000")
    wanted = torch.rand(3)
    made.keeper.load(made.run.checkpoints / "epoch-000")
    assert torch.equal(torch.rand(3), wanted)


def test_the_loss_of_an_epoch_is_the_mean_of_its_own_steps(tiny_run):
    log = tiny_run.log()
    for line in (line for line in log if line["event"] == "epoch"):
        steps = [s for s in log if s["event"] == "step" and s["epoch"] == line["epoch"]]
        wanted = {
            name: np.mean([s["loss"] for s in steps if s["objective"] == name])
            for name in {s["objective"] for s in steps}
        }
        assert line["loss"] == pytest.approx(wanted)


def test_a_run_goes_on_with_its_own_copy_of_the_manifest(tiny_run, tmp_path):
    run = RunDir(shutil.copytree(tiny_run.path, tmp_path / "run"))
    config = run.config_file.read_text()
    run.config_file.write_text(
        config.replace(f"manifest: {tiny_run.config().manifest}", f"manifest: {tmp_path}/gone.parquet")
    )
    assert "gone.parquet" in run.config_file.read_text()
    assert tiny.resume(run.path) == 0
