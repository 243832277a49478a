"""transformers CLIP directories, read without transformers: what `export` wrote comes back the same."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from safeclip.errors import InputError
from safeclip.model.build import Clip
from safeclip.model.export import export
from safeclip.model.from_transformers import load_transformers
from safeclip.model.load_folder import is_model_folder, load_folder
from safeclip.model.open_clip_import import import_open_clip
from tests.model.models import embeddings, vit


@pytest.fixture
def directory(tiny_vit: Clip, tmp_path: Path) -> Path:
    export(tiny_vit, tmp_path / "clip", "transformers")
    return tmp_path / "clip"


def changed(file: Path, change: Callable[[dict], object]) -> None:
    about = json.loads(file.read_text()) if file.is_file() else {}
    change(about)
    file.write_text(json.dumps(about))


def the_same(clip: Clip, other: Clip) -> None:
    for ours, theirs in zip(embeddings(clip.net.eval(), clip), embeddings(other.net, other), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert float(clip.net.logit_scale.detach()) == pytest.approx(3.3)


def test_what_was_exported_comes_back_with_the_same_embeddings(directory: Path, tiny_vit: Clip) -> None:
    clip = load_transformers(directory)
    the_same(clip, tiny_vit)
    assert (clip.dim, clip.image_size, clip.mean, clip.std) == (24, 32, tiny_vit.mean, tiny_vit.std)
    assert clip.config["quick_gelu"] is True
    assert torch.equal(clip.tokenize(["a cat"]), tiny_vit.tokenize(["a cat"]))


@pytest.mark.parametrize("changes", [{"quick_gelu": False}, {"embed_dim": 40}], ids=["gelu", "wide"])
def test_other_shapes_and_the_other_activation_come_back_too(changes: dict, tmp_path: Path) -> None:
    vision = {"image_size": 24, "layers": 3, "width": 48, "head_width": 16, "patch_size": 6, "mlp_ratio": 3.0}
    text = {"context_length": 11, "vocab_size": 49408, "width": 40, "heads": 4, "layers": 1}
    (tmp_path / "configs").mkdir()
    name = f"test-vit-{next(iter(changes))}"
    clip = vit(tmp_path / "configs", name, vision_cfg=vision, text_cfg=text, **changes)
    export(clip, tmp_path / "out", "transformers")
    again = load_transformers(tmp_path / "out")
    the_same(again, clip)
    export(again, tmp_path / "again", "transformers")
    first, second = (load_file(tmp_path / where / "model.safetensors") for where in ("out", "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_transformers_itself_writes_embeds_alike(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    text = {"hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 8, "num_hidden_layers": 2}
    vision = {"hidden_size": 48, "intermediate_size": 144, "num_hidden_layers": 3, "image_size": 24, "patch_size": 6}
    theirs = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision)).eval()
    theirs.save_pretrained(tmp_path)
    clip = load_transformers(tmp_path)
    pixels, tokens = torch.randn(2, 3, 24, 24), clip.tokenize(["a cat", "two dogs on grass"])
    with torch.no_grad():
        seen = theirs.visual_projection(theirs.vision_model(pixel_values=pixels).pooler_output)
        read = theirs.text_projection(theirs.text_model(input_ids=tokens).pooler_output)
        torch.testing.assert_close(clip.net.eval().encode_image(pixels), seen, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(clip.net.encode_text(tokens), read, rtol=1e-4, atol=1e-5)


def test_the_wrong_activation_would_show(directory: Path, tiny_vit: Clip) -> None:
    def swap(about: dict) -> None:
        about["text_config"]["hidden_act"] = about["vision_config"]["hidden_act"] = "gelu"

    changed(directory / "config.json", swap)
    with pytest.raises(AssertionError):
        the_same(load_transformers(directory), tiny_vit)


def test_values_left_out_of_the_config_are_transformers_defaults(directory: Path, tiny_vit: Clip) -> None:
    def drop(about: dict) -> None:
        del about["text_config"]["hidden_act"], about["vision_config"]["hidden_act"]
        del about["text_config"]["num_attention_heads"]

    changed(directory / "config.json", drop)
    assert load_transformers(directory).config["text_cfg"]["heads"] == 8
    assert load_transformers(directory).config["quick_gelu"] is True


def settings(folder: Path, part: str, given: dict) -> None:
    changed(folder / "config.json", lambda about: about.update({part: given}))


def test_settings_of_the_second_kind_go_before_with_their_defaults(directory: Path, tiny_vit: Clip) -> None:
    for part in ("text_config", "vision_config"):
        changed(directory / "config.json", lambda about, part=part: about[part].update(hidden_act="gelu"))
    assert load_transformers(directory).config["quick_gelu"] is False
    settings(directory, "text_config_dict", {"num_attention_heads": 4})
    settings(directory, "vision_config_dict", {"num_attention_heads": 8})
    clip = load_transformers(directory)
    assert clip.config["quick_gelu"] is True, "the default of what they leave out"
    assert (clip.config["text_cfg"]["heads"], clip.config["vision_cfg"]["head_width"]) == (4, 8)
    settings(directory, "vision_config_dict", {"num_attention_heads": 8, "hidden_act": "gelu"})
    with pytest.raises(InputError, match="hidden_act = 'quick_gelu', 'gelu'"):
        load_transformers(directory)
    settings(directory, "vision_config_dict", {"layer_norm_eps": 1e-6})
    with pytest.raises(InputError, match=r"vision_config_dict\.layer_norm_eps = 1e-06"):
        load_transformers(directory)


def test_transformers_reads_both_kinds_of_settings_so(directory: Path) -> None:
    transformers = pytest.importorskip("transformers")
    changed(directory / "config.json", lambda about: about["text_config"].update(hidden_act="gelu"))
    settings(directory, "text_config_dict", {"num_attention_heads": 4})
    theirs = transformers.CLIPConfig.from_pretrained(directory).text_config
    assert (theirs.hidden_act, theirs.num_attention_heads, theirs.eos_token_id) == ("quick_gelu", 4, 49407)


def test_the_end_token_may_have_its_old_number(directory: Path, tiny_vit: Clip) -> None:
    changed(directory / "config.json", lambda about: about["text_config"].update(eos_token_id=2))
    the_same(load_transformers(directory), tiny_vit)


def test_position_numbers_of_old_versions_and_half_precision_are_taken(directory: Path, tiny_vit: Clip) -> None:
    weights = load_file(directory / "model.safetensors")
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    ids = {"text_model.embeddings.position_ids": torch.arange(16)[None]}
    save_file(halves | ids, directory / "model.safetensors")
    clip = load_transformers(directory)
    assert clip.net.visual.proj.dtype == torch.float32
    for ours, theirs in zip(embeddings(clip.net.eval(), clip), embeddings(tiny_vit.net, tiny_vit), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)


def test_the_normalisation_is_the_directorys(directory: Path) -> None:
    changed(directory / "preprocessor_config.json", lambda a: a.update(image_mean=[0.1, 0.2, 0.3], image_std=[1, 2, 3]))
    clip = load_transformers(directory)
    assert (clip.mean, clip.std) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    changed(directory / "preprocessor_config.json", lambda a: a.update(image_std=[1, 0, 1]))
    with pytest.raises(InputError, match=r"image_std = \[1, 0, 1\]; give three numbers"):
        load_transformers(directory)


def clip_vocabulary() -> dict[str, int]:
    encoder = import_open_clip().SimpleTokenizer().encoder
    return {t.replace("<start_of_text>", "<|startoftext|>").replace("<end_of_text>", "<|endoftext|>"): n
            for t, n in encoder.items()}  # fmt: skip


def test_clips_own_tokenizer_files_are_taken(directory: Path, tiny_vit: Clip) -> None:
    (directory / "vocab.json").write_text(json.dumps(clip_vocabulary()))
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": clip_vocabulary()}}))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    the_same(load_transformers(directory), tiny_vit)


def other_class(folder: Path) -> str:
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return "its tokenizer 'BertTokenizer' is not CLIP's"


def other_vocabulary(folder: Path) -> str:
    words = clip_vocabulary()
    words["cat</w>"], words["dog</w>"] = words["dog</w>"], words["cat</w>"]
    (folder / "vocab.json").write_text(json.dumps(words))
    return "vocab.json: is not CLIP's vocabulary"


def other_tokenizer(folder: Path) -> str:
    (folder / "tokenizer.json").write_text('{"model": ["x"]}')
    return "tokenizer.json: is not CLIP's vocabulary"


def small_vocabulary(folder: Path) -> str:
    return with_weight(
        folder, "text_model.embeddings.token_embedding.weight", torch.zeros(100, 32), "vocabulary of 100"
    )


def small_model(folder: Path) -> str:
    changed(folder / "config.json", lambda about: about["text_config"].update(eos_token_id=99, vocab_size=100))
    return small_vocabulary(folder)


def with_weight(folder: Path, name: str, value: torch.Tensor | None, said: str) -> str:
    weights = load_file(folder / "model.safetensors")
    weights.pop(name, None)
    save_file(weights | ({} if value is None else {name: value}), folder / "model.safetensors")
    return said


def missing_weight(folder: Path) -> str:
    name = "text_model.encoder.layers.1.mlp.fc2.bias"
    return with_weight(folder, name, None, f"no weight {name}; the file is not whole")


def missing_projection(folder: Path) -> str:
    name = "visual_projection.weight"
    return with_weight(folder, name, None, f"no weight {name} as CLIPModel has it")


def foreign_weight(folder: Path) -> str:
    return with_weight(folder, "classifier.weight", torch.zeros(2), "classifier.weight has no place")


def far_layer(folder: Path) -> str:
    name = "vision_model.encoder.layers.999999999.layer_norm1.weight"
    return with_weight(folder, name, torch.zeros(64), "no weight vision_model.encoder.layers.2.self_attn.q_proj.weight")


def wrong_shape(folder: Path) -> str:
    return with_weight(folder, "vision_model.pre_layrnorm.bias", torch.zeros(63), "its weights do not fit together")


def no_square(folder: Path) -> str:
    name = "vision_model.embeddings.position_embedding.weight"
    return with_weight(folder, name, torch.zeros(16, 64), "its 16 positions of patches (8, 8) are no square picture")


def other_model(folder: Path) -> str:
    changed(folder / "config.json", lambda about: about.update(model_type="siglip"))
    return "model_type = 'siglip'; only `clip` directories can be read"


def no_config(folder: Path) -> str:
    (folder / "config.json").write_text("[]")
    return "config.json: holds no settings"


def odd_heads(folder: Path) -> str:
    changed(folder / "config.json", lambda about: about["vision_config"].update(num_attention_heads=7))
    return "num_attention_heads = 7 does not divide the width 64"


def odd_norm(folder: Path) -> str:
    changed(folder / "config.json", lambda about: about["text_config"].update(layer_norm_eps=1e-6))
    return "text_config.layer_norm_eps = 1e-06; open_clip's is 1e-5"


def odd_end(folder: Path) -> str:
    changed(folder / "config.json", lambda about: about["text_config"].update(eos_token_id=5))
    return "text_config.eos_token_id = 5; the text tower is pooled at 49407 here"


def no_end(folder: Path) -> str:
    settings(folder, "text_config_dict", {"eos_token_id": [49407]})
    return "text_config_dict.eos_token_id = [49407]"


def odd_activation(folder: Path) -> str:
    changed(folder / "config.json", lambda about: about["vision_config"].update(hidden_act="relu"))
    return "hidden_act = 'quick_gelu', 'relu'"


def pickled_weights(folder: Path) -> str:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    return "model.safetensors: no such file; a pytorch_model.bin or several files are not read"


def cut_weights(folder: Path) -> str:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    return "model.safetensors: no safetensors file"


REFUSED = [
    *(other_class, other_vocabulary, other_tokenizer, small_vocabulary, missing_weight, missing_projection),
    *(foreign_weight, far_layer, wrong_shape, no_square, other_model, no_config, odd_heads, odd_norm, odd_activation),
    *(pickled_weights, cut_weights, odd_end, no_end, small_model),
]


@pytest.mark.parametrize("spoil", REFUSED, ids=[spoil.__name__ for spoil in REFUSED])
def test_another_directory_is_refused_in_one_line(spoil: Callable[[Path], str], directory: Path) -> None:
    said = spoil(directory)
    with pytest.raises(InputError) as error:
        load_transformers(directory)
    assert said in str(error.value)
    assert str(directory) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_told_by_its_config(directory: Path, tiny_vit: Clip, emoji: Clip, tmp_path: Path) -> None:
    export(emoji, tmp_path / "small", "open_clip")
    export(tiny_vit, tmp_path / "vit", "open_clip")
    for folder, clip in ((directory, tiny_vit), (tmp_path / "vit", tiny_vit), (tmp_path / "small", emoji)):
        assert is_model_folder(folder)
        the_same(load_folder(f"local-dir:{folder}"), clip)
    assert torch.equal(load_folder(tmp_path / "small").tokenize(["a cat"]), emoji.tokenize(["a cat"]))
    assert not is_model_folder(tmp_path)
    with pytest.raises(InputError, match=r"no model here \(looked for open_clip_config\.json and config\.json\)"):
        load_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_folder("local-dir:nowhere")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("open_clip_config.json", "{", "cannot be read"),
        ("open_clip_config.json", '{"model_cfg": {"text_cfg": {}}}', "holds no model_cfg with vision_cfg and text_cfg"),
        (
            "open_clip_config.json",
            '{"model_cfg": {"embed_dim": 4, "vision_cfg": {"x": 1}, "text_cfg": {}}}',
            "open_clip cannot build what open_clip_config.json says",
        ),
        (
            "open_clip_config.json",
            '{"model_cfg": {"embed_dim": 4, "vision_cfg": {}, "text_cfg": {"hf_model_name": "roberta-base"}}}',
            "its text_cfg has hf_model_name, which open_clip would download",
        ),
        ("open_clip_model.safetensors", "no weights", "does not fit this architecture or is no checkpoint"),
        ("open_clip_model.safetensors", None, "no weights beside open_clip_config.json"),
    ],
)
def test_a_folder_of_open_clip_that_does_not_fit_is_refused(
    file: str, text: str | None, said: str, tiny_vit: Clip, tmp_path: Path
) -> None:
    export(tiny_vit, tmp_path / "out", "open_clip")
    (tmp_path / "out" / file).unlink()
    if text is not None:
        (tmp_path / "out" / file).write_text(text)
    with pytest.raises(InputError) as error:
        load_folder(tmp_path / "out")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
