"""The parts of a run that every method has: data, model, views, optimizer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from safeclip.config.checks import check, check_share


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the pairs lie and how they are read."""

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
    quoted: bool = True
    """Whether cells of CSV and TSV may stand in double quotes; false where every quote is the caption's own."""
    class_names: tuple[str, ...] = ()
    """Classes of data without that column, for attacks and evaluation: those that most of a pair's captions name."""
    image_root: str | None = None
    """Folder that relative image paths start from; None is the folder of the table."""
    caption_choice: Literal["one", "mean"] = "one"
    """Scoring a pair of several captions: `one` takes the one that the epoch trains on, `mean` the mean similarity over
    all of them."""
    workers: int = 0
    """Processes that read and decode beside the training one; 0 reads in the training process. Scoring and evaluation
    read in as many threads."""
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
        check(bool(self.spec), "data.spec", self.spec, "name the data, as in csv:pairs.csv")
        check(
            all(re.search(r"[^\W_]", name) for name in self.class_names),
            "data.class_names",
            self.class_names,
            "give names with letters or digits",
        )
        check(self.workers >= 0, "data.workers", self.workers, "give 0 or more")
        check(
            self.shard_window is None or self.shard_window >= 0,
            "data.shard_window",
            self.shard_window,
            "give 0 or more",
        )
        check(self.spool_gib > 0, "data.spool_gib", self.spool_gib, "give a positive size")
        check(self.max_pixels > 0, "data.max_pixels", self.max_pixels, "give a positive count")
        check(self.max_caption_chars > 0, "data.max_caption_chars", self.max_caption_chars, "give a positive count")
        check_share("data.max_bad_share", self.max_bad_share)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The two towers: an open_clip architecture that needs nothing from the Hugging Face hub, or a small one of our
    own."""

    name: str = "RN50"
    """open_clip architecture (`RN50`, `ViT-B-32`, ...) or `safeclip-emoji`, `safeclip-64px`."""
    weights: str | None = None
    """Checkpoint file to start from, in open_clip's form (.safetensors, or .pt without pickle); None: from scratch."""
    tag: str | None = None
    """Tag under which open_clip knows those weights, as in laion2b_s32b_b82k: pictures are normalised as they were for
    it. None: as the architecture has it. Nothing is downloaded."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the forward pass; `auto` takes bf16 on a GPU that has it, and on a CPU where a timed product is
    faster in it."""
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None
    """Mode of torch.compile for the towers, on full batches; `reduce-overhead` (CUDA graphs) suits small models. Where
    it cannot compile, training goes on without and the log says so."""
    grad_checkpointing: bool = False
    """Compute each block's activations again in the backward pass: less memory, more time."""
    shard: bool = False
    """On many ranks, split weights, gradients and moments over them (FSDP2), for towers too large for one device."""

    def __post_init__(self) -> None:
        check(bool(self.name), "model.name", self.name, "name an architecture; `safeclip doctor --models` lists them")
        check(self.precision in ("auto", "bf16", "fp32"), "model.precision", self.precision, "give auto, bf16 or fp32")
        modes = ("default", "reduce-overhead", "max-autotune")
        check(self.compile in (None, *modes), "model.compile", self.compile, f"give null or {', '.join(modes)}")


@dataclass(frozen=True, kw_only=True)
class ViewsConfig:
    """Augmented views of images and captions, fresh every epoch (docs/method.md)."""

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
            check_share(f"views.{name}", getattr(self, name))
        low, high = self.crop_scale
        check(0 < low <= high <= 1, "views.crop_scale", self.crop_scale, "give 0 < low <= high <= 1")
        check(0 < self.blur_sigma[0] <= self.blur_sigma[1], "views.blur_sigma", self.blur_sigma, "give 0 < low <= high")
        check(all(0 <= j <= 1 for j in self.jitter), "views.jitter", self.jitter, "give four strengths between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedules, one per objective, each in its own steps."""

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
        check(
            self.batch_size >= 2,
            "optim.batch_size",
            self.batch_size,
            "contrastive losses need at least 2 pairs a batch",
        )
        check(self.accumulate >= 1, "optim.accumulate", self.accumulate, "give 1 or more")
        check(self.accumulate <= self.batch_size, "optim.accumulate", self.accumulate, "give at most batch_size parts")
        check(self.rate > 0, "optim.rate", self.rate, "give a positive rate")
        check(
            self.unimodal_rate is None or self.unimodal_rate > 0,
            "optim.unimodal_rate",
            self.unimodal_rate,
            "give a positive rate",
        )
        check_share("optim.warmup_share", self.warmup_share)
        check(all(0 <= b < 1 for b in self.betas), "optim.betas", self.betas, "give two, at least 0 and below 1")
        check(self.eps > 0, "optim.eps", self.eps, "give a positive number")
        check(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "give 0 or more")
        check(
            self.clip_norm is None or self.clip_norm > 0,
            "optim.clip_norm",
            self.clip_norm,
            "give a positive norm, or null",
        )
        for name in ("max_nan_in_a_row", "max_nan_steps"):
            check(getattr(self, name) >= 0, f"optim.{name}", getattr(self, name), "give 0 or more steps")
