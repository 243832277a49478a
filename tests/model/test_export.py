"""Exported models, loaded again by those they are for, embed as the run's own did."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from safeclip.config import ModelConfig, ViewsConfig
from safeclip.data.image_views import clean_crop, colour
from safeclip.errors import InputError
from safeclip.model.build import Clip, build
from safeclip.model.export import export
from safeclip.model.load_folder import load_folder
from safeclip.model.open_clip_import import import_open_clip
from safeclip.model.tokenizer import BoundedTokenizer
from tests.model.models import embeddings, vit
from tests.reference.clip_model import SlowClipModel

CAPTIONS = [
    "A man riding a wave on top of a surfboard.",
    "  Vintage 1967   Ford Mustang -- for sale!!! (only $12,500) ",
    "It's the longest, they've said: Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch",
    "https://www.example.com/IMG_20190714.jpg?size=large #sunset",
    "Кот сидит на подоконнике, 一只猫坐在窗台上 🌧️😀",
    "café au lait, naïve Donaudampfschifffahrt",
    "a red bus " * 50,
    "",
]


def test_open_clip_loads_what_is_written_for_it(tiny_vit: Clip, tmp_path: Path) -> None:
    written = export(tiny_vit, tmp_path / "out", "open_clip")
    assert all(path.is_file() for path in written)
    net = import_open_clip().create_model(f"local-dir:{tmp_path / 'out'}").eval()
    for ours, theirs in zip(embeddings(tiny_vit.net, tiny_vit), embeddings(net, tiny_vit), strict=True):
        torch.testing.assert_close(theirs, ours)
    assert float(net.logit_scale.detach()) == pytest.approx(3.3)


def test_the_small_towers_load_in_open_clip_once_safeclip_has_registered_them(emoji: Clip, tmp_path: Path) -> None:
    export(emoji, tmp_path / "out", "open_clip")
    net = import_open_clip().create_model(f"local-dir:{tmp_path / 'out'}").eval()
    for ours, theirs in zip(embeddings(emoji.net, emoji), embeddings(net, emoji), strict=True):
        torch.testing.assert_close(theirs, ours)


def test_safetensors_are_open_clips_own_names(emoji: Clip, tmp_path: Path) -> None:
    (file,) = export(emoji, tmp_path / "out", "safetensors")
    again = build(ModelConfig(name="safeclip-emoji", weights=str(file), precision="fp32"))
    for name, value in emoji.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value), name
    assert load_file(file).keys() == emoji.net.state_dict().keys()


def test_transformers_embeds_alike(tiny_vit: Clip, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export(tiny_vit, tmp_path / "out", "transformers")
    net, about = transformers.CLIPModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not about["missing_keys"]
    assert not about["unexpected_keys"]
    net.eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = tiny_vit.tokenize(["a cat", "a drawing of two dogs"])
    with torch.no_grad():
        seen = net.vision_model(pixel_values=pixels).pooler_output
        read = net.text_model(input_ids=tokens).pooler_output
        theirs = net.visual_projection(seen), net.text_projection(read)
    for ours, other in zip(embeddings(tiny_vit.net, tiny_vit), theirs, strict=True):
        torch.testing.assert_close(other, ours, rtol=1e-4, atol=1e-5)


def words(tokens: list[int], end: int) -> list[int]:
    return tokens[: tokens.index(end) + 1]


@pytest.mark.parametrize("name", ["test-tiny-vit", "safeclip-test-vit"])
def test_transformers_processor_splits_captions_as_open_clip_does_and_prepares_pictures_as_we_do(
    name: str, tiny_vit: Clip, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    if name == "safeclip-test-vit":
        import_open_clip().add_model_config(Path(__file__).parents[1] / "dist/configs")
    clip = tiny_vit if name == tiny_vit.name else build(ModelConfig(name=name, precision="fp32"))
    export(clip, tmp_path / "out", "transformers")
    processor = transformers.CLIPProcessor.from_pretrained(tmp_path / "out")
    wanted, end = clip.tokenize(CAPTIONS).tolist(), clip.config["text_cfg"]["vocab_size"] - 1
    found = processor.tokenizer(CAPTIONS, padding="max_length", truncation=True)["input_ids"]
    assert [words(some, end) for some in found] == [words(some, end) for some in wanted]
    assert all(len(some) == clip.config["text_cfg"]["context_length"] for some in found)
    picture = (np.add.outer(np.arange(48), np.arange(60))[..., None] * np.array([2, 1, 2]) + 20).astype(np.uint8)
    seen = torch.as_tensor(np.asarray(processor.image_processor(Image.fromarray(picture))["pixel_values"][0]))
    ours = torch.from_numpy(clean_crop(picture, clip.image_size).copy())[None]
    assert seen.shape == (3, clip.image_size, clip.image_size)
    torch.testing.assert_close(seen[None], colour(ours, None, ViewsConfig(), clip.mean, clip.std), atol=0.03, rtol=0)


def test_transformers_splits_any_caption_as_open_clip_does_once_it_is_cleaned(tiny_vit: Clip, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export(tiny_vit, tmp_path / "out", "transformers")
    split = transformers.CLIPTokenizer.from_pretrained(tmp_path / "out")
    odd = ["the dog’s “bed”", "ﬁsh", "Ｆull", "salt &amp; pepper", "cafÃ©", "ΑΣ"]
    wanted = [words(some, 49407) for some in tiny_vit.tokenize(odd).tolist()]
    clean = [tiny_vit.tokenize.tokenizer.clean_fn(caption) for caption in odd]
    assert split(clean, truncation=True)["input_ids"] == wanted
    raw = split(odd, truncation=True)["input_ids"]
    assert all(some != other for some, other in zip(raw, wanted, strict=True)), "or the docstring says too much"


def test_the_processors_files_are_written_from_the_models_own_tokenizer(tiny_vit: Clip, tmp_path: Path) -> None:
    """Without that package: CLIP's vocabulary and merges, in their order."""
    written = {path.name: path for path in export(tiny_vit, tmp_path / "out", "transformers")}
    assert written.keys() == {path.name for path in (tmp_path / "out").iterdir()}
    simple, vocabulary = import_open_clip().SimpleTokenizer(), json.loads(written["vocab.json"].read_text())
    assert list(vocabulary.values()) == list(range(49408))
    assert list(vocabulary)[:-2] == list(simple.encoder)[:-2]
    assert list(vocabulary)[-2:] == ["<|startoftext|>", "<|endoftext|>"]
    merges = written["merges.txt"].read_text(encoding="utf-8").split("\n")
    assert (merges[0], merges[-1]) == ("#version: 0.2", "")
    assert [tuple(line.split(" ")) for line in merges[1:-1]] == list(simple.bpe_ranks)
    about, pictures = (
        json.loads(written[n].read_text()) for n in ("tokenizer_config.json", "preprocessor_config.json")
    )
    assert (about["tokenizer_class"], about["model_max_length"]) == ("CLIPTokenizer", 16)
    assert (pictures["size"], pictures["image_mean"]) == ({"shortest_edge": 32}, list(tiny_vit.mean))


@pytest.mark.parametrize("kind", ["canonicalize", "masked", "foreign"])
def test_a_tokenizer_that_transformers_has_not_is_left_out(kind: str, tiny_vit: Clip, tmp_path: Path) -> None:
    simple = import_open_clip().SimpleTokenizer
    given = {"canonicalize": {"clean": "canonicalize"}, "masked": {"reduction_mask": "simple"}, "foreign": {}}[kind]
    tokenize = BoundedTokenizer(tiny_vit.tokenize if kind == "foreign" else simple(**given))
    export(replace(tiny_vit, tokenize=tokenize), tmp_path / "out", "transformers")
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_every_weight_of_a_vit_has_its_place_in_transformers(tiny_vit: Clip, tmp_path: Path) -> None:
    """Without that package: as many numbers go out as the towers hold."""
    export(tiny_vit, tmp_path / "out", "transformers")
    held = sum(t.numel() for t in tiny_vit.net.state_dict().values())
    assert sum(t.numel() for t in load_file(tmp_path / "out/model.safetensors").values()) == held
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["vision_config"]["num_attention_heads"] == 2
    assert config["text_config"]["hidden_act"] == "quick_gelu"


def test_a_tower_without_a_counterpart_is_refused_with_the_form_that_takes_it(emoji: Clip, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--form transformers: safeclip-emoji.*use --form open_clip"):
        export(emoji, tmp_path / "out", "transformers")


VISION = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("vision_cfg", "pool_type", "avg"),
        ("vision_cfg", "attentional_pool", True),
        ("vision_cfg", "no_ln_pre", True),
        ("vision_cfg", "norm_kwargs", {"eps": 1e-3}),
        ("vision_cfg", "act_kwargs", {"approximate": "tanh"}),
        ("vision_cfg", "ls_init_value", 1e-4),
        ("vision_cfg", "patch_size", [8, 8]),
        ("text_cfg", "pool_type", "last"),
        ("text_cfg", "no_causal_mask", True),
        ("text_cfg", "norm_kwargs", {"eps": 1e-3}),
        ("text_cfg", "proj_bias", True),
        ("text_cfg", "proj_type", "none"),
    ],
)
def test_a_vit_that_transformers_would_compute_otherwise_is_refused_with_its_key(
    part: str, key: str, value: object, tiny_vit: Clip, tmp_path: Path
) -> None:
    config = {"vision_cfg": VISION, "text_cfg": TEXT, "embed_dim": 24}
    config[part] = config[part] | {key: value}
    with pytest.raises(InputError) as error:
        export(replace(tiny_vit, config=config), tmp_path / "out", "transformers")
    said = f"--form transformers: {part}.{key} = {value!r} has no counterpart in CLIPModel; use --form open_clip"
    assert str(error.value) == said


@pytest.mark.parametrize("start", [-10, 0])
def test_a_logit_bias_is_not_left_out_in_silence(start: int, tiny_vit: Clip, tmp_path: Path) -> None:
    config = tiny_vit.config | {"init_logit_bias": start, "nonscalar_logit_scale": False}
    with pytest.raises(InputError, match=rf"--form transformers: init_logit_bias = {start} has no counterpart"):
        export(replace(tiny_vit, config=config), tmp_path / "out", "transformers")


def test_widths_of_the_text_towers_blocks_are_its_own_and_what_changes_no_embedding_is_no_matter(
    tmp_path: Path,
) -> None:
    (tmp_path / "configs").mkdir()
    text = TEXT | {"mlp_ratio": 2.03, "final_ln_after_pool": True, "no_causal_mask": False}
    vision = VISION | {"mlp_ratio": 3.0, "patch_dropout": 0.5, "final_ln_after_pool": True, "norm_kwargs": {}}
    clip = vit(tmp_path / "configs", "test-narrow-vit", vision_cfg=vision, text_cfg=text)
    export(clip, tmp_path / "out", "transformers")
    config = json.loads((tmp_path / "out/config.json").read_text())
    weights = load_file(tmp_path / "out/model.safetensors")
    for tower, width in (("vision", 192), ("text", 64)):
        assert config[f"{tower}_config"]["intermediate_size"] == width
        assert len(weights[f"{tower}_model.encoder.layers.0.mlp.fc1.bias"]) == width
    for ours, theirs in zip(
        embeddings(clip.net, clip), embeddings(load_folder(tmp_path / "out").net.eval(), clip), strict=True
    ):
        torch.testing.assert_close(theirs, ours)


def test_what_open_clip_has_by_default_need_not_stand_in_the_config(tiny_vit: Clip, tmp_path: Path) -> None:
    config = tiny_vit.config | {"vision_cfg": {}, "text_cfg": {}}
    export(replace(tiny_vit, config=config), tmp_path / "out", "transformers")
    written = json.loads((tmp_path / "out/config.json").read_text())
    assert (written["vision_config"]["hidden_size"], written["vision_config"]["num_attention_heads"]) == (768, 12)
    assert (written["text_config"]["hidden_size"], written["text_config"]["eos_token_id"]) == (512, 49407)


def test_the_text_tower_is_pooled_at_its_tokenizers_end_though_more_tokens_are_known(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    clip = vit(tmp_path / "configs", "test-roomy-vit", vision_cfg=VISION, text_cfg=TEXT | {"vocab_size": 50_000})
    export(clip, tmp_path / "out", "transformers")
    text = json.loads((tmp_path / "out/config.json").read_text())["text_config"]
    assert (text["bos_token_id"], text["eos_token_id"], text["vocab_size"]) == (49406, 49407, 50_000)


def test_nothing_is_written_over(emoji: Clip, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty; name a new folder"):
        export(emoji, tmp_path, "safetensors")
    with pytest.raises(InputError, match=r"--form onnx: choose among open_clip, transformers, safetensors"):
        export(emoji, tmp_path / "out", "onnx")


@torch.no_grad()
def test_a_literal_clip_model_embeds_alike(tiny_vit, tmp_path):
    export(tiny_vit, tmp_path / "out", "transformers")
    slow = SlowClipModel(tmp_path / "out")
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    theirs = slow.image(pixels), slow.text(tiny_vit.tokenize(["a cat", "a drawing of two dogs"]))
    for ours, other in zip(embeddings(tiny_vit.net, tiny_vit), theirs, strict=True):
        torch.testing.assert_close(other, ours, rtol=1e-4, atol=1e-5)
