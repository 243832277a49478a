"""A run, whole: its parts, its method's numbers, and what belongs to neither."""

from __future__ import annotations

from dataclasses import dataclass, field

from safeclip.config.checks import check
from safeclip.config.methods import CleanclipConfig, FilterConfig, RoclipConfig, SafeclipConfig
from safeclip.config.parts import DataConfig, ModelConfig, OptimConfig, ViewsConfig

METHOD_NAMES = ("clip", "safeclip", "roclip", "cleanclip", "filter")


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
        check(self.method in METHOD_NAMES, "method", self.method, f"choose among {', '.join(METHOD_NAMES)}")
        check(self.epochs >= 1, "epochs", self.epochs, "give 1 or more")
        check(0 <= self.seed < 2**63, "seed", self.seed, "give a whole number from 0 to 2**63 - 1")
        check(self.checkpoint_minutes > 0, "checkpoint_minutes", self.checkpoint_minutes, "give minutes above 0")
        check(self.keep_checkpoints >= 1, "keep_checkpoints", self.keep_checkpoints, "give 1 or more")
        check(
            all("{}" in t for t in self.templates) and bool(self.templates),
            "templates",
            self.templates,
            "each needs a {} for the class",
        )
        if self.method == "safeclip":
            before = self.safeclip.warmup_epochs + self.safeclip.align_epochs
            check(
                self.epochs > before,
                "epochs",
                self.epochs,
                f"safeclip needs more than its {before} warm-up and alignment epochs",
            )
            unseen = self.safeclip.scoring == "running" and before == 0
            check(not unseen, "safeclip.scoring", "running", "no epoch before the split gives scores; give fresh")
        if self.method == "roclip":
            first = self.roclip.first_match()
            check(self.epochs >= first, "epochs", self.epochs, f"roclip first matches in epoch {first}; give that many")
        if self.method == "filter":
            look = self.filter.look(self.epochs)
            check(self.epochs > look, "epochs", self.epochs, f"filter needs more than its {look} look epochs")
        if self.method == "cleanclip":
            self._check_cleanclip()

    def _check_cleanclip(self) -> None:
        weights, views = self.model.weights, self.views
        check(weights is not None, "model.weights", weights, "cleanclip mends a trained model; name its checkpoint")
        mend = "cleanclip takes both its losses of the same two augmented views"
        check(views.clip_views == "augmented", "views.clip_views", views.clip_views, f"{mend}; give augmented")
        check(views.clip_text == views.text, "views.clip_text", views.clip_text, f"{mend}; give {views.text}")
