"""Models small enough to write and load in no time, with weights unlike any that a program would start from."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from safeclip.config import ModelConfig
from safeclip.model.build import Clip, build
from safeclip.model.open_clip_import import import_open_clip


def moved(name: str) -> Clip:
    clip = build(ModelConfig(name=name, precision="fp32"))
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in clip.net.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=random))
        clip.net.logit_scale.fill_(3.3)
    clip.net.eval()
    return clip


def vit(folder: Path, name: str = "test-tiny-vit", **changes: object) -> Clip:
    """A tiny ViT, its config added to open_clip's under `name`. changes: of the config."""
    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    about = {"embed_dim": 24, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text} | changes
    (folder / f"{name}.json").write_text(json.dumps(about))
    import_open_clip().add_model_config(folder)
    return moved(name)


@torch.no_grad()
def embeddings(net: torch.nn.Module, clip: Clip) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randn(2, 3, clip.image_size, clip.image_size, generator=torch.Generator().manual_seed(0))
    return net.encode_image(pixels), net.encode_text(clip.tokenize(["a cat", "a drawing of two dogs"]))
