"""A run, whole: every number that shapes it, frozen and checked, written to RUN/config.yaml and read back from it.

Each part is a keyword-only frozen dataclass with a line under each field. A field that departs from the paper says
what the paper does. Errors name the field, the value and the mend. A preset (presets.py) is a function that returns a
RunConfig.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from safeclip.errors import InputError

SIGNALS = ("cosine", "neighbours", "caption_neighbours")
VETOES = ("copies", "patterns", "shifts", "texture", "words")
METHOD_NAMES = ("clip", "safeclip", "roclip", "cleanclip", "filter")
DETECTORS = ("kdist", "slof", "lid", "dao", "cosine", "neighbours")
T = TypeVar("T")


def _check(ok: bool, name: str, value: object, mend: str) -> None:
    if not ok:
        raise InputError(f"{name} = {value!r}: {mend}")


def _share(name: str, value: float) -> None:
    _check(0.0 <= value <= 1.0, name, value, "give a share between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the pairs lie and how they are read (DESIGN section 3, data spec)."""

    spec: str = "emoji:"
    """Path or URL of the pairs, its format told from the name or given as `format:path`."""
    split: str = "train"
    """Rows to train on, where the data has a split column; `all` takes every row."""
    eval_split: str = "test"
    """Rows to evaluate on when the run ends, where the data has a split column."""
    image_column: str | None = None
    """Column of image paths or bytes; None finds it among the usual names."""
    caption_column: str | None = None
    """Column of captions, text or a list of text; None finds it among the usual names."""
    class_column: str = "class"
    """Column that names a pair's class, where there is one."""
    image_root: str | None = None
    """Folder that relative image paths start from; None is the folder of the table."""
    caption_choice: Literal["one", "mean"] = "one"
    """Scoring a pair of several captions: `one` takes the first, `mean` the mean similarity over all of them."""
    workers: int = 0
    """Processes that read and decode beside the training one; 0 reads in the training process."""
    cache_mib: int = 1024
    """A set whose decoded pictures fit in this many MiB is decoded once and kept in memory; 0 never."""
    shard_window: int | None = None
    """Tar shards whose pairs are shuffled together, for storage that is best read in order; 0 shuffles over all pairs.
    None: 16 where shards lie at a URL, else 0."""
    spool_gib: float = 32.0
    """Disk for local copies of shards that lie at a URL, in GiB, in the cache folder (XDG_CACHE_HOME)."""
    max_pixels: int = 50_000_000
    """Pictures of more pixels are left out as decompression bombs."""
    max_caption_chars: int = 10_000
    """Captions are cut to this many characters before anything reads them."""
    max_bad_share: float = 0.02
    """Share of unusable pairs above which the run stops."""

    def __post_init__(self) -> None:
        _check(bool(self.spec), "data.spec", self.spec, "name the data, as in csv:pairs.csv")
        _check(self.workers >= 0, "data.workers", self.workers, "give 0 or more")
        _check(
            self.shard_window is None or self.shard_window >= 0,
            "data.shard_window",
            self.shard_window,
            "give 0 or more",
        )
        _check(self.spool_gib > 0, "data.spool_gib", self.spool_gib, "give a positive size")
        _check(self.max_pixels > 0, "data.max_pixels", self.max_pixels, "give a positive count")
        _check(self.max_caption_chars > 0, "data.max_caption_chars", self.max_caption_chars, "give a positive count")
        _share("data.max_bad_share", self.max_bad_share)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The two towers: any open_clip architecture, or one of safeclip's small ones."""

    name: str = "RN50"
    """open_clip architecture (`RN50`, `ViT-B-32`, ...) or `safeclip-emoji`, `safeclip-64px`."""
    weights: str | None = None
    """Checkpoint file to start from, in open_clip's form (.safetensors, or .pt without pickle); None: from scratch."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the forward pass; `auto` times a product on this machine and takes bf16 where it is faster."""
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None
    """Mode of torch.compile for the towers, on full batches; `reduce-overhead` (CUDA graphs) suits small models. Where
    it cannot compile, training goes on without and the log says so."""
    grad_checkpointing: bool = False
    """Compute each block's activations again in the backward pass: less memory, more time."""
    shard: bool = False
    """On many ranks, split weights, gradients and moments over them (FSDP2), for towers too large for one device."""

    def __post_init__(self) -> None:
        _check(bool(self.name), "model.name", self.name, "name an architecture; `safeclip doctor --models` lists them")
        _check(self.precision in ("auto", "bf16", "fp32"), "model.precision", self.precision, "give auto, bf16 or fp32")
        modes = ("default", "reduce-overhead", "max-autotune")
        _check(self.compile in (None, *modes), "model.compile", self.compile, f"give null or {', '.join(modes)}")


@dataclass(frozen=True, kw_only=True)
class ViewsConfig:
    """Augmented views of images and captions, fresh every epoch (PAPER 1.2: both rows `aug`)."""

    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Share of the picture's area that a random resized crop keeps."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    jitter: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.1)
    """Strength of the change in brightness, contrast, saturation and hue."""
    jitter_share: float = 0.8
    """Share of views whose colours are changed."""
    grey_share: float = 0.2
    """Share of views made grey."""
    blur_share: float = 0.5
    """Share of views blurred. The official code blurs every one."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Range of the blur's sigma, in pixels of a 224-pixel picture; scaled with the picture's side."""
    text: Literal["eda", "none"] = "eda"
    """Caption views: one random EDA operation (synonym, insertion, swap, deletion), or the caption itself."""
    text_strength: float = 0.1
    """Share of a caption's words that an operation touches."""
    clip_views: Literal["augmented", "clean"] = "augmented"
    """Views that the CLIP loss sees."""
    clip_text: Literal["eda", "none"] = "eda"
    """Caption views that the CLIP loss sees."""
    clip_count: Literal[1, 2] = 1
    """Views a pair gets in the CLIP loss; 2 crosses them, each with the other's caption, as in the official code."""

    def __post_init__(self) -> None:
        for name in ("flip", "jitter_share", "grey_share", "blur_share", "text_strength"):
            _share(f"views.{name}", getattr(self, name))
        low, high = self.crop_scale
        _check(0 < low <= high <= 1, "views.crop_scale", self.crop_scale, "give 0 < low <= high <= 1")
        _check(
            0 < self.blur_sigma[0] <= self.blur_sigma[1], "views.blur_sigma", self.blur_sigma, "give 0 < low <= high"
        )
        _check(
            all(0 <= j <= 1 for j in self.jitter), "views.jitter", self.jitter, "give four strengths between 0 and 1"
        )


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedules, one per objective, each in its own steps (DESIGN section 4.6)."""

    batch_size: int = 512
    """Pairs a step, over all ranks."""
    accumulate: int = 1
    """Parts a batch is computed in, with the loss of the whole batch; more parts need less memory."""
    rate: float = 5e-4
    """Peak learning rate of the CLIP loss."""
    unimodal_rate: float | None = None
    """Peak learning rate of the unimodal losses; None is `rate`, as in the paper."""
    warmup_share: float = 0.1
    """Share of an objective's steps in which its rate rises from zero. The official code counts 10,000 steps."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay of its two moments. The official code has 0.999 for the second."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    weight_decay: float = 0.1
    """Decoupled weight decay, none on norms, biases and the logit scale."""
    clip_norm: float | None = 1.0
    """Gradient norm above which a step's gradient is scaled down; None never. The official code has none."""
    max_nan_in_a_row: int = 3
    """Steps in a row that may be skipped because the loss or the gradient is not finite; one more stops the run."""
    max_nan_steps: int = 30
    """Steps of the whole run that may be skipped so; one more stops it."""

    def __post_init__(self) -> None:
        _check(
            self.batch_size >= 2,
            "optim.batch_size",
            self.batch_size,
            "contrastive losses need at least 2 pairs a batch",
        )
        _check(self.accumulate >= 1, "optim.accumulate", self.accumulate, "give 1 or more")
        _check(self.accumulate <= self.batch_size, "optim.accumulate", self.accumulate, "give at most batch_size parts")
        _check(self.rate > 0, "optim.rate", self.rate, "give a positive rate")
        _check(
            self.unimodal_rate is None or self.unimodal_rate > 0,
            "optim.unimodal_rate",
            self.unimodal_rate,
            "give a positive rate",
        )
        _share("optim.warmup_share", self.warmup_share)
        _check(all(0 <= b < 1 for b in self.betas), "optim.betas", self.betas, "give two, at least 0 and below 1")
        _check(self.eps > 0, "optim.eps", self.eps, "give a positive number")
        _check(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "give 0 or more")
        _check(
            self.clip_norm is None or self.clip_norm > 0,
            "optim.clip_norm",
            self.clip_norm,
            "give a positive norm, or null",
        )
        for name in ("max_nan_in_a_row", "max_nan_steps"):
            _check(getattr(self, name) >= 0, f"optim.{name}", getattr(self, name), "give 0 or more steps")


@dataclass(frozen=True, kw_only=True)
class SafeclipConfig:
    """The method's own numbers (paper section 4; DESIGN section 4)."""

    warmup_epochs: int = 5
    """Unimodal epochs before any cross-modal gradient."""
    align_epochs: int = 1
    """CLIP epochs at a low constant rate after the warm-up; each pair counts."""
    align_rate: float | None = None
    """Constant rate of the alignment epoch; None is `align_travel` / its steps."""
    align_travel: float = 1e-2
    """Rate x steps of the alignment epoch. The paper's 5e-6 over about 2,000 steps is 1e-2."""
    pool_share: float = 0.02
    """Pool size as a share of the pairs, for each modality. About 2 % in the authors' runs."""
    pool_size: int | None = None
    """Pool size in embeddings, instead of `pool_share`; 0 trains without a pool."""
    posterior: float = 0.9
    """First split: safe where the upper component's posterior reaches this."""
    share_min: float = 0.05
    """Least share of the pairs in the first safe set."""
    share_max: float = 0.5
    """Largest share of the pairs in the first safe set."""
    share_first: float | None = None
    """First safe share; None lets the mixture choose it, as the paper does."""
    growth: float = 0.01
    """What the safe share gains per epoch. The paper: 0.01."""
    share_cap: float = 0.85
    """Largest safe share that growth reaches."""
    risk: tuple[str, ...] = ("cosine",)
    """Signals whose ranks add up to a pair's risk. The paper: ("cosine",). Ours: ("cosine", "neighbours")."""
    veto: tuple[str, ...] = ()
    """Signals that keep a pair out of every safe set. The paper has none; ours: all of VETOES."""
    copies_allowed: int = 2
    """Times a picture may occur (near-copies counted) before `copies` vetoes its pairs."""
    pattern_deviations: float = 8.0
    """Median absolute deviations above the median from which `patterns` vetoes what a picture shares with others."""
    shift_deviations: float = 6.0
    """The same for `shifts`."""
    texture_deviations: float = 2.5
    """The same for `texture`: by how much a picture's texture foretells its caption better than its content does."""
    word_deviations: float = 8.0
    """The same for `words`, over all words: by how much the rest of a caption fits worse where a word is."""
    neighbours: int = 16
    """k of the neighbour agreements: nearest pictures whose captions are compared, and the other way round."""
    fit: Literal["converged", "paper"] = "converged"
    """EM to the end, or with the default stopping rule of the paper's library (tolerance 1e-3, 100 iterations)."""
    scoring: Literal["fresh", "running"] = "fresh"
    """A clean pass before each split, or the cosines that the training steps compute anyway."""
    order: Literal["mixed", "sequential"] = "mixed"
    """Safe and risky batches interleaved, or first all risky ones, as in the paper."""

    def __post_init__(self) -> None:
        _check(self.warmup_epochs >= 0, "safeclip.warmup_epochs", self.warmup_epochs, "give 0 or more")
        _check(self.align_epochs >= 0, "safeclip.align_epochs", self.align_epochs, "give 0 or more")
        _check(
            self.align_rate is None or self.align_rate > 0,
            "safeclip.align_rate",
            self.align_rate,
            "give a positive rate",
        )
        _check(self.align_travel > 0, "safeclip.align_travel", self.align_travel, "give a positive product")
        for name in ("pool_share", "posterior", "share_min", "share_max", "growth", "share_cap"):
            _share(f"safeclip.{name}", getattr(self, name))
        _check(self.pool_size is None or self.pool_size >= 0, "safeclip.pool_size", self.pool_size, "give 0 or more")
        _check(
            self.share_min <= self.share_max,
            "safeclip.share_min",
            self.share_min,
            f"keep it at most share_max = {self.share_max}",
        )
        _check(
            self.share_first is None or 0 < self.share_first < 1,
            "safeclip.share_first",
            self.share_first,
            "give a share between 0 and 1",
        )
        _check(
            bool(self.risk) and set(self.risk) <= set(SIGNALS),
            "safeclip.risk",
            self.risk,
            f"choose among {', '.join(SIGNALS)}",
        )
        _check(set(self.veto) <= set(VETOES), "safeclip.veto", self.veto, f"choose among {', '.join(VETOES)}")
        _check(self.copies_allowed >= 1, "safeclip.copies_allowed", self.copies_allowed, "give 1 or more")
        for name in ("pattern_deviations", "shift_deviations", "texture_deviations", "word_deviations"):
            _check(getattr(self, name) > 0, f"safeclip.{name}", getattr(self, name), "give a positive number")
        _check(self.neighbours >= 1, "safeclip.neighbours", self.neighbours, "give 1 or more")
        _check(self.fit in ("converged", "paper"), "safeclip.fit", self.fit, "give converged or paper")
        _check(self.scoring in ("fresh", "running"), "safeclip.scoring", self.scoring, "give fresh or running")
        _check(self.order in ("mixed", "sequential"), "safeclip.order", self.order, "give mixed or sequential")


@dataclass(frozen=True, kw_only=True)
class RoclipConfig:
    """RoCLIP's own numbers (Yang and Mirzasoleiman, NeurIPS 2023; docs/rivals.md)."""

    every: int = 2
    """Epochs from one matching epoch to the next. The paper: 2, and more often (1) against up to 1 % of poison."""
    first: int = 2
    """Earliest epoch that may match, at least 2; those before are plain CLIP. The paper's description has no such
    warm-up; an epoch of its data is 2,000 steps, and on small data a model matches at random after one epoch."""
    pool_share: float = 0.02
    """Size of the caption pool as a share of the pairs. The paper: 21,845 captions for 1M pairs, about 2 %."""
    pool_size: int | None = None
    """Size of the caption pool in embeddings, instead of `pool_share`."""

    def __post_init__(self) -> None:
        _check(self.every >= 1, "roclip.every", self.every, "give 1 or more epochs")
        _check(self.first >= 2, "roclip.first", self.first, "give 2 or more: the first epoch's pool holds noise")
        _check(0 < self.pool_share <= 1, "roclip.pool_share", self.pool_share, "give a share above 0, at most 1")
        _check(self.pool_size is None or self.pool_size >= 1, "roclip.pool_size", self.pool_size, "give 1 or more")

    def matches(self, epoch: int) -> bool:
        """Whether `epoch`, from 1, is a matching one: every, 2 every, ... from `first` on."""
        return epoch >= self.first and epoch % self.every == 0

    def first_match(self) -> int:
        """The first epoch that matches."""
        return -(-self.first // self.every) * self.every


@dataclass(frozen=True, kw_only=True)
class CleanclipConfig:
    """CleanCLIP's own numbers (Bansal et al., ICCV 2023; docs/rivals.md).

    The rest of its recipe is the run's: `model.weights` is the poisoned model, `data` the trusted pairs. The paper
    takes 100,000 pairs, 10 epochs, batch 64, rate 1e-5 and 50 warm-up steps.
    """

    unimodal_weight: float = 1.0
    """Weight of the unimodal loss beside the CLIP loss; 0 fine-tunes with the CLIP loss alone. The paper: 1."""

    def __post_init__(self) -> None:
        _check(self.unimodal_weight >= 0, "cleanclip.unimodal_weight", self.unimodal_weight, "give 0 or more")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Numbers of filtering by an outlier detector (Huang et al., ICLR 2025; docs/rivals.md)."""

    look_epochs: int | None = None
    """Epochs of the plain model that the detector looks at, counted in `epochs`. None: half of them, so that the final
    model gets as many, as in the paper (32 and 32)."""
    share: float = 0.1
    """Share of the pairs that are dropped: the most outlying ones. The paper: 0.1, and 0.01 against a patch."""
    detector: str = "dao"
    """Outlier score: kdist, slof, lid or dao of the image embeddings; cosine or neighbours of the pairs. The paper
    compares the first four and retrains with dao."""
    k: int = 16
    """Nearest neighbours that a detector looks at. The paper's code: 16."""
    reference: int | None = 1024
    """Pairs, drawn at random, among which kdist, slof, lid and dao seek neighbours; None: among all (100,000 at most).
    The paper's code seeks them in the batch that a pair is scored in. The more planted pairs a reference set holds, the
    denser they look."""

    def __post_init__(self) -> None:
        _check(
            self.look_epochs is None or self.look_epochs >= 1, "filter.look_epochs", self.look_epochs, "give 1 or more"
        )
        _check(0 < self.share < 1, "filter.share", self.share, "give a share between 0 and 1")
        _check(self.detector in DETECTORS, "filter.detector", self.detector, f"choose among {', '.join(DETECTORS)}")
        _check(self.k >= 2, "filter.k", self.k, "give 2 or more")
        _check(
            self.reference is None or self.reference > self.k,
            "filter.reference",
            self.reference,
            f"give more than filter.k = {self.k} pairs, or null for all",
        )

    def look(self, epochs: int) -> int:
        """Epochs of the first model, of a run of `epochs`."""
        return max(1, epochs // 2) if self.look_epochs is None else self.look_epochs


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run."""

    preset: str = ""
    """Name of the preset this started from, for the reader."""
    method: str = "safeclip"
    """Training method: clip, safeclip, roclip, cleanclip or filter."""
    epochs: int = 32
    """Passes over the data; warm-up and alignment counted, and `filter`'s look epochs."""
    seed: int = 0
    """Draws of the weights, the plan and the views."""
    manifest: str | None = None
    """Manifest of planted pairs, applied while reading; None trains on the data as it lies."""
    templates: tuple[str, ...] = ("a photo of a {}.",)
    """Zero-shot prompts; {} is the class name."""
    evaluate: bool = True
    """Evaluate on `data.eval_split` when the run ends."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints inside an epoch; every epoch ends with one."""
    keep_checkpoints: int = 3
    """Newest checkpoints kept."""
    deterministic: bool = True
    """Take only algorithms that give the same weights twice; false lets a GPU take its fastest ones."""
    tensorboard: bool = False
    """Write TensorBoard events to RUN/tensorboard too (extra `tensorboard`)."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    safeclip: SafeclipConfig = field(default_factory=SafeclipConfig)
    roclip: RoclipConfig = field(default_factory=RoclipConfig)
    cleanclip: CleanclipConfig = field(default_factory=CleanclipConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)

    def __post_init__(self) -> None:
        _check(self.method in METHOD_NAMES, "method", self.method, f"choose among {', '.join(METHOD_NAMES)}")
        _check(self.epochs >= 1, "epochs", self.epochs, "give 1 or more")
        _check(0 <= self.seed < 2**63, "seed", self.seed, "give a whole number from 0 to 2**63 - 1")
        _check(self.checkpoint_minutes > 0, "checkpoint_minutes", self.checkpoint_minutes, "give minutes above 0")
        _check(self.keep_checkpoints >= 1, "keep_checkpoints", self.keep_checkpoints, "give 1 or more")
        _check(
            all("{}" in t for t in self.templates) and bool(self.templates),
            "templates",
            self.templates,
            "each needs a {} for the class",
        )
        if self.method == "safeclip":
            before = self.safeclip.warmup_epochs + self.safeclip.align_epochs
            _check(
                self.epochs > before,
                "epochs",
                self.epochs,
                f"safeclip needs more than its {before} warm-up and alignment epochs",
            )
        if self.method == "roclip":
            first = self.roclip.first_match()
            _check(
                self.epochs >= first, "epochs", self.epochs, f"roclip first matches in epoch {first}; give that many"
            )
        if self.method == "filter":
            look = self.filter.look(self.epochs)
            _check(self.epochs > look, "epochs", self.epochs, f"filter needs more than its {look} look epochs")
        if self.method == "cleanclip":
            self._check_cleanclip()

    def _check_cleanclip(self) -> None:
        weights, views = self.model.weights, self.views
        _check(weights is not None, "model.weights", weights, "cleanclip mends a trained model; name its checkpoint")
        mend = "cleanclip takes both its losses of the same two augmented views"
        _check(views.clip_views == "augmented", "views.clip_views", views.clip_views, f"{mend}; give augmented")
        _check(views.clip_text == views.text, "views.clip_text", views.clip_text, f"{mend}; give {views.text}")


def to_dict(config: Any) -> dict[str, Any]:
    """Plain dicts, lists and scalars, for YAML and JSON."""
    plain: dict[str, Any] = _listed(dataclasses.asdict(config))
    return plain


def from_dict(kind: type[T], values: dict[str, Any], where: str = "") -> T:
    """A config of `kind` from plain values. Raises InputError on unknown fields and wrong types."""
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict):
        raise InputError(f"{where or 'config'} = {values!r}: give fields and values")
    unknown = sorted(str(name) for name in set(values) - set(hints))
    if unknown:
        raise InputError(f"{where}{unknown[0]}: no such setting; there are {', '.join(sorted(hints))}")
    return kind(**{name: _cast(hints[name], value, f"{where}{name}") for name, value in values.items()})


def override(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """`config` with dotted settings changed, as in {"safeclip.growth": 0.02}. Raises InputError."""
    plain = to_dict(config)
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        part: Any = plain
        for name in parents:
            part = part.get(name) if isinstance(part, dict) else None
        if not isinstance(part, dict) or leaf not in part or isinstance(part[leaf], dict):
            raise InputError(f"{path}: no such setting; RUN/config.yaml of any run lists them all")
        part[leaf] = value
    return from_dict(RunConfig, plain)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value


def _cast(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where + ".")
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _cast(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value not in args:
            raise InputError(f"{where} = {value!r}: choose among {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{where} = {value!r}: give a list")
        kinds = (args[0],) * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        if len(kinds) != len(value):
            raise InputError(f"{where} = {value!r}: give {len(kinds)} values")
        return tuple(_cast(k, v, where) for k, v in zip(kinds, value, strict=True))
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise InputError(f"{where} = {value!r}: give names and their values")
        return dict(value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InputError(f"{where} = {value!r}: give a value of type {hint.__name__}")
    return value
