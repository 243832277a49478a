from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from safeclip.attacks.catalog import plan
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.surrogate import fit_pictures, load_surrogate
from safeclip.config import ModelConfig, override
from safeclip.data.mentions import Mentions
from safeclip.data.sources import open_source
from safeclip.errors import InputError
from safeclip.model.build import build
from safeclip.model.embed import Embedder
from safeclip.presets import preset
from safeclip.run import RunDir
from safeclip.signals.copies import copy_groups, perceptual_hashes
from tests.attacks.fakes import FakeSource

NOTHING = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def clip():
    clip = build(ModelConfig(name="safeclip-emoji"), seed=3)
    clip.net.eval().requires_grad_(False)
    return clip


@pytest.fixture(scope="module")
def run(clip, tmp_path_factory):
    """A run directory that holds this very model."""
    run = RunDir(tmp_path_factory.mktemp("surrogate") / "run")
    run.create(preset("emoji"))
    folder = run.checkpoints / "epoch-002"
    folder.mkdir(parents=True)
    save_file({k: v.contiguous().clone() for k, v in clip.net.state_dict().items()}, folder / "model.safetensors")
    (run.checkpoints / "latest").write_text("epoch-002\n")
    return run


@pytest.fixture(scope="module")
def sources():
    return FakeSource(200, side=40), FakeSource(40, side=40, seed=9)


@pytest.fixture(scope="module")
def planned(run, sources):
    return plan("surrogate", *sources, model=str(run.path), renderings=False, targets_count=3, captions_each=4, steps=5)


def shown(manifest, index):
    rows = [row for row in manifest.planted if row.target_index == index]
    return [manifest(row.uid, NOTHING, ("before",))[0] for row in rows], [row.caption for row in rows]


def test_captions_are_those_of_the_class_that_the_surrogate_likes_best(clip, planned, sources):
    embedder = Embedder(clip, torch.device("cpu"))
    taken = {row.caption for row in planned.planted}
    for target, (picture, _, wanted) in zip(planned.attacks[0]["targets"], planned.targets(), strict=True):
        _, captions = shown(planned, target["index"])
        named = Mentions([wanted])
        left = sorted({c for uid in range(200) for c in sources[0].captions(uid) if named(c)} - taken)
        picture_1D = embedder.images([picture])
        liked, others = (embedder.texts(texts) @ picture_1D[0] for texts in (captions, left))
        assert all(named(caption) for caption in captions)
        assert liked.min() >= others.max() - 1e-6


def test_pictures_fit_their_captions_better_within_epsilon_and_differ(clip, planned, sources):
    embedder = Embedder(clip, torch.device("cpu"))
    for target, (picture, _, _) in zip(planned.attacks[0]["targets"], planned.targets(), strict=True):
        images, captions = shown(planned, target["index"])
        text_ND = embedder.texts(captions)
        off = np.abs(np.stack(images).astype(int) - picture)
        assert off.max() == 8  # of 255
        assert len({image.tobytes() for image in images}) == 4
        before, after = (embedder.images([picture]) @ text_ND.T)[0], (embedder.images(images) * text_ND).sum(1)
        assert (after > before + 0.01).all()
        assert (picture == sources[1][target["uid"]].image).all()  # what success is measured on stays clean


def test_the_ascent_rises_above_its_random_start(clip):
    picture = np.random.default_rng(0).integers(0, 256, (48, 40, 3)).astype(np.uint8)
    embedder = Embedder(clip, torch.device("cpu"))
    text_ND = embedder.texts(["a dog", "a cat", "the sea"])
    settings = {"seed": 0, "uid": 1}
    fits = {}
    for epsilon in (0.0, 2 / 255, 8 / 255):
        images = fit_pictures(clip, [picture] * 3, text_ND, epsilon=epsilon, steps=10, **settings)
        assert np.abs(np.stack(images).astype(int) - picture).max() == round(255 * epsilon)
        fits[epsilon] = (embedder.images(images) * text_ND).sum(1)
    assert (fits[2 / 255] > fits[0.0]).all()
    assert (fits[8 / 255] > fits[2 / 255]).all()


def test_same_pictures_in_any_company(clip):
    """A picture's ascent depends on neither the batch nor the chunk it is in."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    text_ND = Embedder(clip, torch.device("cpu")).texts([f"a dog {i}" for i in range(18)])
    settings = {"epsilon": 4 / 255, "steps": 2, "seed": 0, "uid": 1}
    many, few = (fit_pictures(clip, [picture] * n, text_ND[:n], **settings) for n in (18, 17))
    assert (np.abs(many[16].astype(int) - few[16]) <= 1).mean() > 0.95  # sums may round otherwise
    assert all((a == b).all() for a, b in zip(many[:16], few[:16], strict=True))
    same = fit_pictures(clip, [picture] * 18, text_ND[:1].expand(18, -1), **settings)
    assert len({image.tobytes() for image in same}) == 18  # each has a random start of its own


def test_renderings_are_no_copies_of_each_other(run):
    spec = "emoji:pairs=240,concepts=12,eval_pairs=60"
    sources = open_source(spec), open_source(spec, split="test")
    settings = {"model": str(run.path), "targets_count": 1, "captions_each": 6, "steps": 1}
    groups = {}
    for renderings in (False, True):
        images, _ = shown(plan("surrogate", *sources, renderings=renderings, **settings), 0)
        groups[renderings] = len(set(copy_groups(perceptual_hashes(images)).tolist()))
    assert groups == {False: 1, True: 6}


def test_manifest_reproduces_the_plan_and_names_no_folder(planned, run, sources, tmp_path):
    planned.save(tmp_path / "m.parquet")
    assert Manifest.load(tmp_path / "m.parquet") == planned
    again = plan(
        "surrogate", *sources, model=str(run.path), renderings=False, targets_count=3, captions_each=4, steps=5
    )
    assert again == planned
    assert planned.attacks[0]["params"]["model"] == "run"
    assert str(run.path.parent) not in str(planned.attacks)


def test_weights_file_needs_its_architecture(clip, run):
    file = run.checkpoints / "epoch-002" / "model.safetensors"
    loaded = load_surrogate(str(file), "safeclip-emoji")
    picture = [np.full((32, 32, 3), 90, np.uint8)]
    cpu = torch.device("cpu")
    assert torch.equal(Embedder(loaded, cpu).images(picture), Embedder(clip, cpu).images(picture))
    assert torch.equal(
        Embedder(load_surrogate(str(run.path)), cpu).images(picture), Embedder(clip, cpu).images(picture)
    )
    with pytest.raises(InputError, match="architecture="):
        load_surrogate(str(file))
    with pytest.raises(InputError, match="does not fit"):
        load_surrogate(str(file), "safeclip-64px")


def test_a_run_sees_its_pictures_normalised_as_it_was_trained_with(run, clip, tmp_path, monkeypatch):
    tagged, asked = RunDir(tmp_path / "tagged"), []
    tagged.create(override(preset("emoji"), {"model.tag": "laion2b_s32b_b82k"}))
    shutil.copytree(run.checkpoints, tagged.checkpoints)
    monkeypatch.setattr("safeclip.attacks.surrogate.build", lambda config: asked.append(config) or clip)
    load_surrogate(str(tagged.path))
    assert asked[0].tag == "laion2b_s32b_b82k"
    assert asked[0].weights == str(tagged.checkpoints / "epoch-002" / "model.safetensors")


def test_what_is_no_surrogate_is_refused_in_one_line(run, sources, tmp_path):
    empty = RunDir(tmp_path / "empty")
    empty.create(preset("emoji"))
    astray = RunDir(tmp_path / "astray")
    astray.create(preset("emoji"))
    astray.checkpoints.mkdir()
    (astray.checkpoints / "latest").write_text("../../etc")
    for given, message in (
        ({}, "give model=RUN"),
        ({"model": str(tmp_path)}, "no run here"),
        ({"model": str(empty.path)}, "holds no checkpoint"),
        ({"model": str(astray.path)}, "holds no checkpoint"),
        ({"model": str(tmp_path / "none.pt"), "architecture": "safeclip-emoji"}, "no such file"),
        ({"model": str(run.path), "epsilon": 2.0}, "epsilon = 2.0"),
        ({"model": str(run.path), "steps": 0}, "steps = 0"),
    ):
        with pytest.raises(InputError, match=message) as error:
            plan("surrogate", *sources, **given)
        assert "\n" not in str(error.value)
