"""Towers by name, weights from files that run no code."""

from __future__ import annotations

import json
import math
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from safeclip.config import ModelConfig
from safeclip.errors import InputError
from safeclip.model.build import Clip, _normalisation, architectures, build, clip_of, create_net, tags_apart
from safeclip.model.export import export
from safeclip.model.load_folder import load_folder
from safeclip.model.pool import Pool


def small(name: str = "safeclip-emoji", seed: int = 0, weights: str | None = None) -> Clip:
    return build(ModelConfig(name=name, weights=weights, precision="fp32"), seed=seed)


@pytest.mark.parametrize(
    ("name", "side", "dim", "context"),
    [("safeclip-emoji", 32, 128, 20), ("safeclip-64px", 64, 192, 32), ("ViT-S-32-alt", 224, 256, 77)],
)
def test_towers_of_a_name_embed_pictures_and_captions_alike(name: str, side: int, dim: int, context: int) -> None:
    clip = small(name)
    clip.net.eval()
    tokens = clip.tokenize(["a drawing of a cat", "two dogs"])
    assert (clip.image_size, clip.dim, tuple(tokens.shape)) == (side, dim, (2, context))
    with torch.no_grad():
        assert clip.net.encode_image(torch.zeros(2, 3, side, side)).shape == (2, dim)
        assert clip.net.encode_text(tokens).shape == (2, dim)
    assert float(clip.net.logit_scale.detach()) == pytest.approx(math.log(1 / 0.07))
    assert Pool(4, clip.dim).dim == dim


def test_weights_are_drawn_from_the_seed_and_from_nothing_else() -> None:
    torch.manual_seed(1)
    one, before = small(seed=5).net.state_dict(), torch.get_rng_state()
    torch.manual_seed(2)
    two, other = small(seed=5).net.state_dict(), small(seed=6).net.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    torch.manual_seed(1)
    small()
    assert torch.equal(torch.get_rng_state(), before), "building takes nothing from the global generator"


@pytest.mark.parametrize("name", ["RN5O", "safeclip-giant", "hf-hub:someone/model", "local-dir:/tmp", "../RN50"])
def test_an_unknown_name_is_refused_with_the_way_to_find_the_right_one(name: str) -> None:
    with pytest.raises(
        InputError, match=r"model\.name = .*no such architecture; `safeclip doctor --models` lists them"
    ):
        small(name)


def test_every_name_listed_has_a_config() -> None:
    from safeclip.model.build import open_clip_config

    names = architectures()
    assert {"RN50", "ViT-B-32", "safeclip-emoji", "safeclip-64px"} <= set(names)
    assert all(int(open_clip_config(name)["embed_dim"]) > 0 for name in names)


@pytest.mark.parametrize("ending", ["safetensors", "pt", "wrapped.pt"])
def test_weights_are_read_from_open_clips_forms(ending: str, tmp_path: Path) -> None:
    weights = small(seed=3).net.state_dict()
    file = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        save_file(weights, file)
    elif ending == "pt":
        torch.save(weights, file)
    else:
        torch.save({"epoch": 7, "state_dict": {f"module.{name}": t for name, t in weights.items()}}, file)
    loaded = small(seed=0, weights=str(file)).net.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


class Hostile:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("form", ["torch", "plain pickle", "legacy", "among the weights"])
@pytest.mark.parametrize("ending", ["pt", "bin", "safetensors", "npz"])
def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_never_runs(
    form: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    mark, file = tmp_path / "the code ran", tmp_path / f"weights.{ending}"
    hostile = Hostile(mark)
    if form == "torch":
        torch.save(hostile, file)
    elif form == "plain pickle":
        file.write_bytes(pickle.dumps(hostile))
    elif form == "legacy":
        torch.save(hostile, file, _use_new_zipfile_serialization=False)
    else:
        torch.save({"state_dict": small().net.state_dict(), "optimizer": hostile}, file)
    with pytest.raises(InputError, match=r"model\.weights = .*does not fit this architecture or is no checkpoint") as e:
        small(weights=str(file))
    assert "\n" not in str(e.value)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "of another architecture"])
def test_a_file_that_holds_no_fitting_weights_is_one_line_of_bad_input(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("weights\n" * 100)
    elif kind == "cut":
        save_file(small().net.state_dict(), file)
        file.write_bytes(file.read_bytes()[:50_000])
    elif kind == "of another architecture":
        save_file(small("safeclip-64px").net.state_dict(), file)
    with pytest.raises(InputError, match=r"weights\.safetensors") as error:
        small(weights=str(file))
    assert "\n" not in str(error.value)


def test_the_tokenizer_goes_to_worker_processes_by_name() -> None:
    tokenize = small().tokenize
    again = pickle.loads(pickle.dumps(tokenize))
    assert torch.equal(again(["a cat"]), tokenize(["a cat"]))
    assert len(pickle.dumps(tokenize)) < 200


def test_a_tag_says_how_its_weights_want_their_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = small("ViT-S-32-alt")
    assert plain.mean == (0.48145466, 0.4578275, 0.40821073)
    with pytest.raises(
        InputError, match=r"model\.tag = 'laion': open_clip knows no such weights of ViT-B-32; it knows "
    ):
        build(ModelConfig(name="ViT-B-32", tag="laion"))
    with pytest.raises(InputError, match=r"model\.tag = 'dfn5b': its resize_mode = 'squash'; pictures are not"):
        build(ModelConfig(name="ViT-H-14-quickgelu", tag="dfn5b"))
    assert "laion2b_s32b_b82k" in tags_apart("ViT-L-14")
    assert tags_apart("safeclip-emoji") == []
    made = create_net("ViT-S-32-alt", force_preprocess_cfg=_normalisation("ViT-L-14", "laion2b_s32b_b82k"))
    assert clip_of(made, "x", plain.tokenize, plain.config).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "tag", "said"),
    [
        ("ViT-B-32", "openai", "trained with QuickGELU, ViT-B-32 has GELU; take ViT-B-32-quickgelu"),
        ("RN50", "cc12m", "trained with QuickGELU, RN50 has GELU; take RN50-quickgelu"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", "with GELU, ViT-B-32-quickgelu has QuickGELU; take ViT-B-32"),
    ],
)
def test_a_tag_of_the_other_activation_is_refused_with_the_name_that_has_it(name: str, tag: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        build(ModelConfig(name=name, tag=tag))
    assert str(error.value).startswith(f"model.tag = {tag!r}: its weights were ")
    assert str(error.value).endswith(said)
    take = said.rpartition(" ")[2]
    assert take in architectures()
    assert len(_normalisation(take, tag)["mean"]) == 3
    assert (tag in tags_apart(name)) == (not name.endswith("-quickgelu")), "told where no tag is given"
    assert tag not in tags_apart(take)


def no_hub(config: dict) -> str:
    config["vision_cfg"] = {"timm_model_name": "hf-hub:someone/anything", "image_size": 32}
    return "its vision_cfg has timm_model_name = 'hf-hub:someone/anything', which open_clip would download"


def no_folder_of_timms(config: dict) -> str:
    config["vision_cfg"] = {"timm_model_name": "local-dir:/tmp", "image_size": 32}
    return "its vision_cfg has timm_model_name = 'local-dir:/tmp'"


def oblong(config: dict) -> str:
    config["vision_cfg"]["image_size"] = [32, 64]
    return "vision_cfg.image_size = [32, 64]; only square pictures are prepared here"


def few_tokens(config: dict) -> str:
    config["text_cfg"]["vocab_size"] = 1000
    return "text_cfg.vocab_size = 1000 is less than its tokenizer's 49408"


@pytest.mark.parametrize("spoil", [no_hub, no_folder_of_timms, oblong, few_tokens])
def test_a_folder_whose_config_asks_for_what_is_not_there_is_refused_and_the_hub_never_asked(
    spoil: Callable[[dict], str], tiny_vit: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *host, **_: asked.append(host) or [])
    folder = tmp_path / "out"
    export(tiny_vit, folder, "open_clip")
    about = json.loads((folder / "open_clip_config.json").read_text())
    said = spoil(about["model_cfg"])
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    if spoil in (oblong, few_tokens):
        net = create_net(f"local-dir:{folder}", load_weights=False)
        save_file(net.state_dict(), folder / "open_clip_model.safetensors")
    with pytest.raises(InputError) as error:
        load_folder(folder)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{folder}: ")
    assert "\n" not in str(error.value)
    assert not asked
