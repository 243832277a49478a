"""Exported models, loaded again by those they are for, embed as the run's own did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from safeclip.config import ModelConfig
from safeclip.errors import InputError
from safeclip.model.build import Clip, build
from safeclip.model.export import export
from safeclip.model.torchvision_import import import_open_clip
from tests.model.models import embeddings


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


def test_nothing_is_written_over(emoji: Clip, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty; name a new folder"):
        export(emoji, tmp_path, "safetensors")
    with pytest.raises(InputError, match=r"--form onnx: choose among open_clip, transformers, safetensors"):
        export(emoji, tmp_path / "out", "onnx")
