"""What transformers' CLIPProcessor reads beside a model: how pictures are prepared, and captions split.

    preprocessor_config.json                            side, mean and standard deviation
    vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json

What must stay true: a caption that has been cleaned gets the numbers that open_clip's tokenizer gives it, up to its end
token; behind it transformers repeats that token where open_clip puts zeros, which nothing reads. Its CLIPTokenizer
cleans by rules of its own, which no file here can change: it straightens no curly quotes, takes no ligatures and
full-width letters apart, mends no broken encodings, unfolds no &amp;, and writes a last capital sigma in its other
form; nor does it cut words of more than 256 characters. Captions with those get the same numbers once
clip.tokenize.tokenizer.clean_fn has read them.
"""

from __future__ import annotations

from typing import Any

from safeclip.model.build import Clip
from safeclip.model.open_clip_import import import_open_clip

START, END = "<|startoftext|>", "<|endoftext|>"


def image_settings(clip: Clip) -> dict[str, Any]:
    """CLIPImageProcessor's settings."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": clip.image_size},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": clip.image_size, "width": clip.image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(clip.mean),
        "image_std": list(clip.std),
    }


def tokenizer_files(clip: Clip) -> dict[str, Any]:
    """By name, CLIPTokenizer's files: settings, and merges.txt as text; {} where the tokenizer is of another
    kind."""
    simple = _simple(clip)
    if simple is None:
        return {}
    names = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    own = {"tokenizer_class": "CLIPTokenizer", "do_lower_case": True, "model_max_length": simple.context_length}
    return {
        "vocab.json": token_numbers(simple),
        "merges.txt": "#version: 0.2\n" + "".join(f"{' '.join(pair)}\n" for pair in simple.bpe_ranks),
        "tokenizer_config.json": own | names,
        "special_tokens_map.json": names,
    }


def token_numbers(simple: Any) -> dict[str, int]:
    """The vocabulary of open_clip's own tokenizer, the marks of a text's start and end as transformers writes them."""
    marks = {simple.sot_token_id: START, simple.eot_token_id: END}
    return {marks.get(number, token): number for token, number in simple.encoder.items()}


def _simple(clip: Clip) -> Any:
    """open_clip's own tokenizer in lower case, of as many tokens as the text tower knows; None where it is another."""
    open_clip = import_open_clip()
    found = clip.tokenize.tokenizer
    if not isinstance(found, open_clip.SimpleTokenizer) or found.reduction_fn is not None:
        return None
    lower = clip.tokenize.clean is open_clip.tokenizer.get_clean_fn("lower")
    return found if lower and found.vocab_size == clip.config["text_cfg"].get("vocab_size", 49408) else None
