"""A CLIP directory of the transformers library as open_clip's towers: the inverse of export.py's form `transformers`.

    config.json (model_type clip) + model.safetensors [+ preprocessor_config.json, tokenizer files]

transformers itself is not needed. The shapes come from the weights, so that a config cannot ask for more than the file
holds; the config gives what shapes do not tell: heads, activation, patch order. What must stay true: every weight of
the file has its place and every place its weight, or the directory is refused.
"""

from __future__ import annotations

import json
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from safeclip.errors import InputError, reason
from safeclip.model.build import Clip, clip_of, create_net
from safeclip.model.open_clip_import import import_open_clip
from safeclip.model.pictures import transformers_normalisation
from safeclip.model.processor_files import token_numbers
from safeclip.model.tokenizer import BoundedTokenizer
from safeclip.model.weight_names import TRANSPOSED, counterparts

VOCABULARY = 49408
_POSITIONS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Buffers of old versions, 0, 1, 2, ...; no weights."""
_TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
# transformers' CLIPConfig leaves values out of config.json that are its defaults
_VISION = {"num_attention_heads": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_TEXT = {**_VISION, "num_attention_heads": 8, "eos_token_id": VOCABULARY - 1}
_ENDS = (VOCABULARY - 1, 2)
"""The tokens that a text tower may be pooled at: CLIP's last, which old versions of transformers wrote as 2."""


def load_transformers(folder: str | Path) -> Clip:
    """The towers of a transformers CLIP directory, and CLIP's tokenizer. Raises InputError."""
    folder = Path(folder)
    about = _json(folder / "config.json")
    if about.get("model_type") != "clip":
        raise InputError(
            f"{folder / 'config.json'}: model_type = {about.get('model_type')!r}; only `clip` directories can be read"
        )
    weights = _weights(folder)
    config = _architecture(folder, about, weights)
    _check_tokenizer(folder)
    preprocess = _preprocess(folder, config["vision_cfg"]["image_size"])
    try:
        # the name is only where open_clip starts from: every part of its config is replaced
        net = create_net("ViT-B-32", force_preprocess_cfg=preprocess, **config)
        net.load_state_dict(_open_clip_weights(folder, weights, config))
    except RuntimeError as error:
        raise InputError(f"{folder / 'model.safetensors'}: its weights do not fit together ({reason(error)})") from None
    tokenizer = import_open_clip().SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    return clip_of(net, str(folder), BoundedTokenizer(tokenizer), config)


def _weights(folder: Path) -> dict[str, Tensor]:
    file = folder / "model.safetensors"
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; a pytorch_model.bin or several files are not read: save the model anew with "
            "transformers, save_pretrained(..., max_shard_size='50GB')"
        )
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: no safetensors file ({reason(error)})") from None
    return {name: value for name, value in weights.items() if name not in _POSITIONS}


def _architecture(folder: Path, about: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Any]:
    """open_clip's config of these towers."""
    vocabulary = _shape(folder, weights, "text_model.embeddings.token_embedding.weight", 2)[0]
    if vocabulary != VOCABULARY:
        raise InputError(f"{folder}: its vocabulary of {vocabulary} is not CLIP's of {VOCABULARY}; take another model")
    text, vision = _part(folder, about, "text_config", _TEXT), _part(folder, about, "vision_config", _VISION)
    if text["hidden_act"] != vision["hidden_act"] or text["hidden_act"] not in ("quick_gelu", "gelu"):
        raise InputError(
            f"{folder / 'config.json'}: hidden_act = {text['hidden_act']!r}, {vision['hidden_act']!r}; open_clip's "
            "towers share one, quick_gelu or gelu"
        )
    patches = _shape(folder, weights, "vision_model.embeddings.patch_embedding.weight", 4)
    positions = _shape(folder, weights, "vision_model.embeddings.position_embedding.weight", 2)[0]
    context, width = _shape(folder, weights, "text_model.embeddings.position_embedding.weight", 2)
    side = isqrt(max(positions - 1, 0))
    if side**2 != positions - 1 or patches[2] != patches[3]:
        raise InputError(f"{folder}: its {positions} positions of patches {patches[2:]} are no square picture")
    return {
        "embed_dim": _shape(folder, weights, "visual_projection.weight", 2)[0],
        "quick_gelu": text["hidden_act"] == "quick_gelu",
        "vision_cfg": {
            "image_size": side * patches[2],
            "patch_size": patches[2],
            "width": patches[0],
            "head_width": _head_width(folder, patches[0], vision["num_attention_heads"]),
            **_depth(folder, weights, "vision_model", patches[0]),
        },
        "text_cfg": {
            "context_length": context,
            "vocab_size": vocabulary,
            "width": width,
            "heads": width // _head_width(folder, width, text["num_attention_heads"]),
            **_depth(folder, weights, "text_model", width),
        },
    }


def _part(folder: Path, about: dict[str, Any], name: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """A tower's settings as CLIPConfig reads them: where NAME_dict stands too, it goes before, with its defaults."""
    name = next((key for key in (f"{name}_dict", name) if about.get(key) is not None), name)
    given = {} if about.get(name) is None else about[name]
    if not isinstance(given, dict):
        raise InputError(f"{folder / 'config.json'}: {name} = {str(given)[:40]!r}; it should hold settings")
    values = {key: given.get(key, default) for key, default in defaults.items()}
    if values["layer_norm_eps"] != 1e-5:
        raise InputError(
            f"{folder / 'config.json'}: {name}.layer_norm_eps = {values['layer_norm_eps']!r}; open_clip's is 1e-5"
        )
    end = values.get("eos_token_id", _ENDS[0])
    if type(end) is not int or end not in _ENDS:
        raise InputError(
            f"{folder / 'config.json'}: {name}.eos_token_id = {str(end)[:40]}; the text tower is pooled at {_ENDS[0]} "
            f"here ({_ENDS[1]} means the same)"
        )
    return values


def _head_width(folder: Path, width: int, heads: Any) -> int:
    if type(heads) is not int or heads < 1 or width % heads:
        raise InputError(f"{folder / 'config.json'}: num_attention_heads = {heads!r} does not divide the width {width}")
    return width // heads


def _depth(folder: Path, weights: dict[str, Tensor], tower: str, width: int) -> dict[str, Any]:
    prefix = f"{tower}.encoder.layers."
    numbers = {name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)}
    hidden = _shape(folder, weights, f"{prefix}0.mlp.fc1.weight", 2)[0]
    exact = int(width * (hidden / width)) == hidden  # open_clip cuts the product to a whole number
    return {"layers": len(numbers), "mlp_ratio": (hidden if exact else hidden + 0.5) / width}


def _shape(folder: Path, weights: dict[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    if name not in weights or weights[name].ndim != dims or 0 in weights[name].shape:
        raise InputError(f"{folder / 'model.safetensors'}: no weight {name} as CLIPModel has it; it is another model's")
    return tuple(weights[name].shape)


def _open_clip_weights(folder: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """transformers' names to open_clip's; queries, keys and values joined. Raises InputError on any left over."""
    left = dict(weights)

    def take(name: str) -> Tensor:
        if name not in left:
            raise InputError(f"{folder / 'model.safetensors'}: no weight {name}; the file is not whole")
        return left.pop(name)

    new: dict[str, Tensor] = {}
    for ours, theirs in counterparts(config["text_cfg"]["layers"], config["vision_cfg"]["layers"]).items():
        parts = [take(name) for name in theirs]
        value = parts[0] if len(parts) == 1 else torch.cat(parts)
        new[ours] = value.T if ours in TRANSPOSED else value
    new["logit_scale"] = new["logit_scale"].reshape(())
    if left:
        raise InputError(f"{folder / 'model.safetensors'}: {next(iter(left))} has no place in open_clip's towers")
    return new


def _check_tokenizer(folder: Path) -> None:
    """Raises InputError where the directory's tokenizer is not CLIP's. One without tokenizer files has CLIP's, as
    `safeclip export` writes it."""
    about = _json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    kind = about.get("tokenizer_class", _TOKENIZERS[0])
    if kind not in _TOKENIZERS:
        raise InputError(f"{folder}: its tokenizer {str(kind)[:40]!r} is not CLIP's, and no other is read")
    vocabularies: list[tuple[Any, str]] = []
    if (folder / "vocab.json").is_file():
        vocabularies.append((_json(folder / "vocab.json"), "vocab.json"))
    if (folder / "tokenizer.json").is_file():
        model = _json(folder / "tokenizer.json").get("model")
        vocabularies.append((model.get("vocab") if isinstance(model, dict) else None, "tokenizer.json"))
    for vocabulary, name in vocabularies:
        if vocabulary != token_numbers(import_open_clip().SimpleTokenizer()):
            raise InputError(f"{folder / name}: is not CLIP's vocabulary, and no other is read")


def _preprocess(folder: Path, side: int) -> dict[str, Any]:
    """Normalisation of preprocessor_config.json, where there is one; else CLIP's, which is open_clip's own."""
    file = folder / "preprocessor_config.json"
    return transformers_normalisation(_json(file), f"{file}: ", side) if file.is_file() else {}


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({type(error).__name__}); restore it") from None
    if not isinstance(value, dict):
        raise InputError(f"{file}: holds no settings; restore it")
    return value
