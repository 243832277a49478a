"""From a name, or a folder in open_clip's form, to two towers and a tokenizer, through open_clip's factory: its
architectures, and safeclip's small ones.

Nothing is downloaded: weights come from a file that the user names, never from a tag.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from safeclip.config import ModelConfig
from safeclip.errors import InputError, reason
from safeclip.model.open_clip_import import import_open_clip
from safeclip.model.pictures import open_clip_normalisation, open_clip_pictures
from safeclip.model.tokenizer import BoundedTokenizer

CONFIGS = Path(__file__).parent / "configs"
BPE = Path(__file__).parent / "bpe_4096.txt.gz"
MAX_LOGIT_SCALE = 4.605170185988092
"""ln 100: the logit scale is clamped to 0..ln 100 after each step (Radford et al. 2021)."""
FOLDER_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
LOCAL = "local-dir:"
"""What open_clip has before a folder's name."""
_QUICK = "-quickgelu"
"""What open_clip adds to the name of an architecture with OpenAI's activation."""


@dataclass(frozen=True)
class Clip:
    """Two towers and what they were built with.

    net: open_clip's model, an nn.Module with encode_image, encode_text and logit_scale. image_size: side in px.
    mean, std: of the normalisation. tokenize: captions -> int64 (B, context). config: open_clip's, of the architecture.
    """

    net: Any
    name: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tokenize: BoundedTokenizer
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.config["embed_dim"])

    @property
    def read_side(self) -> int:
        """Short side in px that pictures need to be read at, some room for crops in it (`Reader.short_side`)."""
        return round(1.25 * self.image_size)


def build(config: ModelConfig, seed: int = 0) -> Clip:
    """The model that `config` names, with random weights drawn from `seed` or the weights of its file.

    Raises InputError on an unknown name or weights that do not fit.
    """
    about = open_clip_config(config.name)
    if foreign := _foreign(about):
        raise InputError(
            f"model.name = {config.name!r}: its {foreign}, which open_clip would download; "
            "`safeclip doctor --models` lists those that can be trained"
        )
    given = {"force_preprocess_cfg": _normalisation(config.name, config.tag)} if config.tag else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = create_net(config.name, **given)
    if config.weights:
        load_weights(net, config.weights)
    return clip_of(net, config.name, _Tokenizer(config.name), about)


def build_folder(folder: str | Path) -> Clip:
    """The model of a folder that open_clip wrote or `safeclip export`: open_clip_config.json beside its weights.

    Raises InputError where they do not fit, or a tower or the tokenizer is one of Hugging Face's.
    """
    about = _folder_config(Path(folder))
    file = next((Path(folder) / name for name in FOLDER_WEIGHTS if (Path(folder) / name).is_file()), None)
    if file is None:
        raise InputError(f"{folder}: no weights beside open_clip_config.json; give one of {', '.join(FOLDER_WEIGHTS)}")
    if foreign := _foreign(about):
        raise InputError(f"{folder}: its {foreign}, which open_clip would download; take another model")
    open_clip = _factory()
    small = next((n for n in open_clip.list_models() if n.startswith("safeclip-") and open_clip_config(n) == about), "")
    name = f"{LOCAL}{folder}"
    try:
        net = create_net(name, load_weights=False)
        tokenize = _Tokenizer(small) if small else BoundedTokenizer(open_clip.get_tokenizer(name))
    except Exception as error:  # a config that is not one makes open_clip raise nearly anything
        raise InputError(
            f"{folder}: open_clip cannot build what open_clip_config.json says ({reason(error)})"
        ) from None
    load_weights(net, str(file))
    return replace(clip_of(net, name, tokenize, about), name=small or name)


def create_net(name: str, **given: Any) -> Any:
    """open_clip's net of that name without weights of anyone; given: of its create_model."""
    with _without_warnings():
        return _factory().create_model(name, pretrained_text=False, pretrained_image=False, **given)


def clip_of(net: Any, name: str, tokenize: BoundedTokenizer, config: dict[str, Any]) -> Clip:
    """The parts together, with the picture's side and normalisation as open_clip set them on the net.

    Raises InputError where the net wants pictures that are not prepared here, or knows fewer tokens than there are.
    """
    where = name.removeprefix(LOCAL)
    pictures = open_clip_normalisation(net.visual.preprocess_cfg, f"{where}: preprocess_cfg.")
    size = net.visual.image_size
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    if len(set(sides)) != 1:
        raise InputError(f"{where}: vision_cfg.image_size = {list(sides)}; only square pictures are prepared here")
    known, tokens = _known_tokens(net), getattr(tokenize.tokenizer, "vocab_size", 0)
    if known is not None and known < tokens:
        raise InputError(f"{where}: text_cfg.vocab_size = {known} is less than its tokenizer's {tokens}")
    return Clip(net, name, int(sides[0]), pictures["mean"], pictures["std"], tokenize, config)


def architectures() -> list[str]:
    """Every name that `build` takes."""
    return sorted(name for name in _factory().list_models() if not _foreign(open_clip_config(name)))


def open_clip_config(name: str) -> dict[str, Any]:
    """open_clip's config of an architecture. Raises InputError on an unknown name."""
    open_clip = _factory()
    config: dict[str, Any] | None = open_clip.get_model_config(name) if ":" not in name else None
    if config is None:
        close = [known for known in architectures() if known.lower().startswith(name.lower()[:3])][:6]
        hint = f"; near it: {', '.join(close)}" if close else ""
        raise InputError(f"model.name = {name!r}: no such architecture; `safeclip doctor --models` lists them{hint}")
    return config


def _foreign(about: dict[str, Any]) -> str | None:
    """What of the towers is Hugging Face's; open_clip and timm fetch those by name, or from where it says."""
    trunk = about["vision_cfg"].get("timm_model_name")
    if isinstance(trunk, str) and ":" in trunk:  # timm's own have none
        return f"vision_cfg has timm_model_name = {trunk[:60]!r}"
    named = next((key for key in ("hf_model_name", "hf_tokenizer_name") if about["text_cfg"].get(key)), None)
    return f"text_cfg has {named}" if named else None


def _known_tokens(net: Any) -> int | None:
    """Rows of the text tower's table; None where the tower has no such table."""
    tower = net if hasattr(net, "token_embedding") else getattr(net, "text", None)
    table = getattr(tower, "token_embedding", None)
    return None if table is None else int(table.num_embeddings)


def tags_apart(name: str) -> list[str]:
    """open_clip's tags of an architecture whose weights want other pictures than it has by default, or the other
    activation."""
    wanted = {tag: _tag(name, tag) for tag in _factory().list_pretrained_tags_by_model(name)}
    usual, quick = open_clip_pictures({}), bool(open_clip_config(name).get("quick_gelu"))
    return sorted(
        tag
        for tag, about in wanted.items()
        if open_clip_pictures(about) != usual or bool(about.get("quick_gelu")) != quick
    )


def _normalisation(name: str, tag: str) -> dict[str, Any]:
    """Mean and deviation of pictures under a tag. Raises InputError on one that open_clip does not know, on one of the
    other activation, and where its pictures are squashed to a square or not bicubic, as nothing is done here."""
    plain = name.removesuffix(_QUICK)
    about = _tag(name, tag) or _tag(plain, tag)
    if not about:
        known = ", ".join(_factory().list_pretrained_tags_by_model(name)) or "none"
        raise InputError(f"model.tag = {tag!r}: open_clip knows no such weights of {name}; it knows {known}")
    quick = bool(about.get("quick_gelu"))
    if quick != bool(open_clip_config(name).get("quick_gelu")):
        theirs, ours = ("QuickGELU", "GELU") if quick else ("GELU", "QuickGELU")
        take = plain + _QUICK * quick
        raise InputError(f"model.tag = {tag!r}: its weights were trained with {theirs}, {name} has {ours}; take {take}")
    return open_clip_normalisation(about, f"model.tag = {tag!r}: its ")


def _tag(name: str, tag: str) -> dict[str, Any]:
    about: dict[str, Any] = _factory().get_pretrained_cfg(name, tag)
    return about


def load_weights(net: nn.Module, path: str) -> None:
    """Load an open_clip checkpoint: .safetensors, or .pt read with weights_only: no code is run. Raises InputError."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"model.weights = {path!r}: no such file; give a checkpoint file, nothing is downloaded")
    from open_clip.factory import load_checkpoint

    try:
        load_checkpoint(net, str(file), weights_only=True)
    except Exception as error:
        raise InputError(
            f"model.weights = {path!r}: does not fit this architecture or is no checkpoint ({reason(error)})"
        ) from None


def decay_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's two groups: matrices and kernels decay; norms, biases and the logit scale do not (as in CLIP)."""
    parameters = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    decayed = [p for name, p in parameters if p.ndim >= 2 and not name.endswith("bias")]
    kept = [p for name, p in parameters if not (p.ndim >= 2 and not name.endswith("bias"))]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def checkpoint_gradients(clip: Clip) -> None:
    """Have both towers compute their activations again in the backward pass. Raises InputError where one cannot: batch
    norm would take each batch into its statistics twice, and open_clip has no hook for it."""
    tower = getattr(clip.net.visual, "trunk", clip.net.visual)
    normed = any(isinstance(module, _BatchNorm) for module in tower.modules())
    if normed or not hasattr(tower, "set_grad_checkpointing"):
        raise InputError(
            f"model.grad_checkpointing = True: {clip.name}'s image tower cannot; "
            "set it to false and raise optim.accumulate"
        )
    clip.net.set_grad_checkpointing(True)


def _folder_config(folder: Path) -> dict[str, Any]:
    """The model_cfg of open_clip_config.json. Raises InputError."""
    file = folder / "open_clip_config.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({type(error).__name__}); restore it") from None
    config = about.get("model_cfg") if isinstance(about, dict) else None
    parts = [config.get(part) for part in ("vision_cfg", "text_cfg")] if isinstance(config, dict) else [None]
    if not isinstance(config, dict) or not all(isinstance(part, dict) for part in parts):
        raise InputError(f"{file}: holds no model_cfg with vision_cfg and text_cfg; restore it")
    return config


def _factory() -> Any:
    open_clip = import_open_clip()
    if "safeclip-emoji" not in open_clip.list_models():
        import safeclip.model.small_conv  # noqa: F401  registers the towers with timm

        open_clip.add_model_config(CONFIGS)
    return open_clip


class _Tokenizer(BoundedTokenizer):
    """The tokenizer of an architecture; picklable by name, for worker processes."""

    def __init__(self, name: str):
        self.name = name
        open_clip = _factory()
        text = open_clip_config(name)["text_cfg"]
        own = name.startswith("safeclip-")
        super().__init__(
            open_clip.SimpleTokenizer(bpe_path=str(BPE), context_length=text["context_length"])
            if own
            else open_clip.get_tokenizer(name)
        )

    def __reduce__(self) -> tuple[type[_Tokenizer], tuple[str]]:
        return _Tokenizer, (self.name,)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """open_clip warns on the root logger that random weights are random."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
