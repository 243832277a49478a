"""A trained model in the forms other programs load.

open_clip     open_clip_config.json + open_clip_model.safetensors: open_clip.create_model("local-dir:DIR")
safetensors   model.safetensors alone, open_clip's parameter names
transformers  config.json + model.safetensors, for ViT architectures: transformers.CLIPModel.from_pretrained(DIR);
              and beside them what CLIPProcessor reads (processor_files.py)
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from safeclip.errors import InputError
from safeclip.model.build import Clip
from safeclip.model.processor_files import image_settings, tokenizer_files
from safeclip.model.weight_names import TRANSPOSED, counterparts
from safeclip.run import writing


def export(clip: Clip, out: str | Path, form: str) -> list[Path]:
    """Write `clip` into folder `out`; returns the files. Raises InputError on a form that this architecture has not,
    RunError where nothing can be written."""
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"--out {folder}: is not empty; name a new folder")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return _export(clip, folder, form)


def _export(clip: Clip, folder: Path, form: str) -> list[Path]:
    weights = {name: t.detach().cpu().contiguous().clone() for name, t in clip.net.state_dict().items()}
    if form == "safetensors":
        return [_weights(folder / "model.safetensors", weights)]
    if form == "open_clip":
        normalise = {"mean": list(clip.mean), "std": list(clip.std)}
        about = {"model_cfg": clip.config, "preprocess_cfg": normalise}
        return [
            _json(folder / "open_clip_config.json", about),
            _weights(folder / "open_clip_model.safetensors", weights),
        ]
    if form == "transformers":
        return [
            _json(folder / "config.json", _transformers_config(clip)),
            _weights(folder / "model.safetensors", _transformers_weights(clip.net, weights)),
            *_processor(folder, clip),
        ]
    raise InputError(f"--form {form}: choose among open_clip, transformers, safetensors")


def _transformers_config(clip: Clip) -> dict[str, Any]:
    about = clip.config
    vision, text = about["vision_cfg"], about["text_cfg"]
    other = about.get("custom_text") or "multimodal_cfg" in about or text.get("hf_model_name")
    if not isinstance(vision.get("layers", 12), int) or vision.get("timm_model_name") or other:
        raise InputError(
            f"--form transformers: {clip.name} has no counterpart there (only ViT towers have); use --form open_clip"
        )
    vision, text = _mapped(clip, "vision_cfg"), _mapped(clip, "text_cfg")
    odd = [
        k for k, value in about.items() if k not in _MAPPED["model_cfg"] and value is not None and value is not False
    ]
    if odd:
        raise _no_counterpart(f"{odd[0]} = {about[odd[0]]!r}")
    activation = "quick_gelu" if about.get("quick_gelu") else "gelu"
    width, head = vision["width"], vision["head_width"]
    spelt = clip.tokenize.tokenizer  # the text tower is pooled at its end token, which may not be the last one known
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": about["embed_dim"],
        "logit_scale_init_value": 2.6592,
        "vision_config": {
            "hidden_size": width,
            "intermediate_size": int(width * vision["mlp_ratio"]),
            "num_attention_heads": width // head,
            "num_hidden_layers": vision["layers"],
            "image_size": clip.image_size,
            "patch_size": vision["patch_size"],
            "hidden_act": activation,
            "projection_dim": about["embed_dim"],
        },
        "text_config": {
            "hidden_size": text["width"],
            "intermediate_size": int(text["width"] * text["mlp_ratio"]),
            "num_attention_heads": text["heads"],
            "num_hidden_layers": text["layers"],
            "max_position_embeddings": text["context_length"],
            "vocab_size": text["vocab_size"],
            "hidden_act": activation,
            "eos_token_id": getattr(spelt, "eot_token_id", text["vocab_size"] - 1),
            "bos_token_id": getattr(spelt, "sot_token_id", text["vocab_size"] - 2),
            "projection_dim": about["embed_dim"],
        },
    }


def _mapped(clip: Clip, part: str) -> dict[str, Any]:
    """A tower's config with open_clip's defaults. Raises InputError where anything but what CLIPModel has is set."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg  # late: open_clip takes seconds

    kind = CLIPVisionCfg if part == "vision_cfg" else CLIPTextCfg
    values, usual = asdict(kind(**clip.config[part])), asdict(kind())
    odd = [key for key in values if key not in _MAPPED[part] and (values[key] or None) != (usual[key] or None)]
    if not isinstance(values.get("patch_size", 0), int):
        odd.append("patch_size")
    if odd:
        raise _no_counterpart(f"{part}.{odd[0]} = {values[odd[0]]!r}")
    return values


_MAPPED = {
    "model_cfg": {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale"},
    "vision_cfg": {
        *("image_size", "patch_size", "width", "head_width", "layers", "mlp_ratio"),
        *("pos_embed_type", "patch_dropout", "attn_pooler_queries", "attn_pooler_heads", "final_ln_after_pool"),
    },
    "text_cfg": {
        *("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"),
        *("tokenizer_mode", "tokenizer_kwargs", "pad_id", "eos_id", "final_ln_after_pool"),
    },
}
"""Keys of a config that may have any value: in each first row those that are written, in the second those that change
no embedding of a tower pooled at one token, or that the weights or the tokenizer's files hold."""


def _transformers_weights(net: Any, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an open_clip net by CLIPModel's names, queries, keys and values apart. Raises InputError where one
    has no place there."""
    names = counterparts(len(net.transformer.resblocks), len(net.visual.transformer.resblocks))
    if odd := sorted(weights.keys() - names.keys()):
        raise _no_counterpart(f"parameter {odd[0]}")
    new: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        value = weights[ours].T if ours in TRANSPOSED else weights[ours]
        new |= zip(theirs, [value] if len(theirs) == 1 else value.chunk(len(theirs)), strict=True)
    return {name: t.contiguous().clone() for name, t in new.items()}


def _no_counterpart(what: str) -> InputError:
    return InputError(f"--form transformers: {what} has no counterpart in CLIPModel; use --form open_clip")


def _processor(folder: Path, clip: Clip) -> list[Path]:
    files = {"preprocessor_config.json": image_settings(clip)} | tokenizer_files(clip)
    for name, content in files.items():
        if isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8")
        else:
            _json(folder / name, content)
    return [folder / name for name in files]


def _json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    return path


def _weights(path: Path, weights: dict[str, Tensor]) -> Path:
    save_file(weights, path, metadata={"format": "pt"})
    return path
