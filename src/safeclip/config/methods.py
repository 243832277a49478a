"""Each method's own numbers; those of the methods that a run does not train with are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from safeclip.config.checks import check, check_share

SIGNALS = ("cosine", "neighbours", "caption_neighbours")
VETOES = ("copies", "renderings", "patterns", "shifts", "texture", "words", "suspects")
POOL_MOST = 2**18
"""Most embeddings of a pool whose size nobody set: 512 MiB of 512 numbers, and 13M pairs at a share of 2 %."""
DETECTORS = ("kdist", "slof", "lid", "dao", "cosine", "neighbours")


@dataclass(frozen=True, kw_only=True)
class SafeclipConfig:
    """The method's own numbers (paper, section 4; docs/method.md)."""

    warmup_epochs: int = 5
    """Unimodal epochs before any cross-modal gradient."""
    align_epochs: int = 1
    """Epochs at a low constant rate after the warm-up: CLIP loss of every pair that no veto is against."""
    align_rate: float | None = None
    """Constant rate of the alignment epochs; None is `align_travel` / their steps, at most `optim.rate`."""
    align_travel: float = 1e-2
    """Rate x steps of the alignment epochs. The paper's 5e-6 over about 2,000 steps is 1e-2."""
    pool_share: float = 0.02
    """Pool size as a share of the pairs, for each modality, at most 262,144 embeddings (POOL_MOST): every GPU holds the
    pools whole. About 2 % in the authors' runs."""
    pool_size: int | None = None
    """Pool size in embeddings, instead of `pool_share` and without its limit; 0 trains without a pool."""
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
    """Signals that keep a pair from every CLIP loss, of the alignment and of all safe sets. The paper has none;
    ours: all of VETOES."""
    barred: Literal["risky", "left out"] = "risky"
    """What pairs that a veto is against are trained on: the unimodal loss, as risky ones are, or nothing, from the
    first epoch on. In our runs neither was better (docs/lab.md)."""
    spare: bool = False
    """Spare pairs that `patterns` or `shifts` are against where pictures that no veto is against show the same under
    like captions, and what the pair shares is no overlay: beaches and deserts are alike by nature. And those that
    `patterns` is against where the pictures of that pattern have captions of anything: frames, watermarks. Ours: on."""
    copies_allowed: int = 2
    """Times a picture may occur (near-copies counted) before `copies` vetoes its pairs."""
    rendering_deviations: float = 6.0
    """Median absolute deviations above the median from which `renderings` vetoes how far a small crowd lies apart. Of
    this and the five below: less is stricter, and takes more clean pairs too."""
    pattern_deviations: float = 8.0
    """Median absolute deviations above the median from which `patterns` vetoes what a picture shares with others."""
    shift_deviations: float = 6.0
    """The same for `shifts`."""
    texture_deviations: float = 2.5
    """The same for `texture`: by how much a picture's texture foretells its caption better than its content does. Of
    those that share no word with other such pairs, it vetoes only what lies 1.6 times as far."""
    word_deviations: float = 8.0
    """The same for `words`, over all words: by how much the rest of a caption fits worse where a word is."""
    suspect_deviations: float = 0.5
    """What `texture_deviations` is to pairs that `suspects` looks at again."""
    look_pairs: int = 2_000_000
    """Pairs, about, that vetoes look at together; more are looked at in parts. Rank 0 holds some 6 kB of each."""
    neighbours: int = 16
    """k of the neighbour agreements: nearest pictures whose captions are compared, and the other way round."""
    fit: Literal["converged", "paper"] = "converged"
    """EM to the end, or with the default stopping rule of the paper's library (tolerance 1e-3, 100 iterations)."""
    scoring: Literal["fresh", "running"] = "fresh"
    """A clean pass before each split, or the cosines that the training steps compute anyway."""
    order: Literal["mixed", "sequential"] = "mixed"
    """Safe and risky batches interleaved, or first all risky ones, as in the paper."""
    risky_views: Literal[1, 2] = 2
    """Views of a risky pair in a defended epoch. The paper: 2. With 1, a view's own neighbour in the pool stands in for
    the other view, and a risky step costs no more than a plain one."""

    def __post_init__(self) -> None:
        check(self.warmup_epochs >= 0, "safeclip.warmup_epochs", self.warmup_epochs, "give 0 or more")
        check(self.align_epochs >= 0, "safeclip.align_epochs", self.align_epochs, "give 0 or more")
        check(
            self.align_rate is None or self.align_rate > 0,
            "safeclip.align_rate",
            self.align_rate,
            "give a positive rate",
        )
        check(self.align_travel > 0, "safeclip.align_travel", self.align_travel, "give a positive product")
        for name in ("pool_share", "posterior", "share_min", "share_max", "growth", "share_cap"):
            check_share(f"safeclip.{name}", getattr(self, name))
        check(self.pool_size is None or self.pool_size >= 0, "safeclip.pool_size", self.pool_size, "give 0 or more")
        check(
            self.share_min <= self.share_max,
            "safeclip.share_min",
            self.share_min,
            f"keep it at most share_max = {self.share_max}",
        )
        check(
            self.share_first is None or 0 < self.share_first < 1,
            "safeclip.share_first",
            self.share_first,
            "give a share between 0 and 1",
        )
        check(
            bool(self.risk) and set(self.risk) <= set(SIGNALS),
            "safeclip.risk",
            self.risk,
            f"choose among {', '.join(SIGNALS)}",
        )
        check(set(self.veto) <= set(VETOES), "safeclip.veto", self.veto, f"choose among {', '.join(VETOES)}")
        alone = "suspects" in self.veto and "texture" not in self.veto
        check(not alone, "safeclip.veto", self.veto, "suspects reads the score of texture: name both, or neither")
        check(self.barred in ("risky", "left out"), "safeclip.barred", self.barred, "choose among risky, left out")
        check(self.copies_allowed >= 1, "safeclip.copies_allowed", self.copies_allowed, "give 1 or more")
        for name in (
            "rendering_deviations",
            "pattern_deviations",
            "shift_deviations",
            "texture_deviations",
            "word_deviations",
            "suspect_deviations",
        ):
            check(getattr(self, name) > 0, f"safeclip.{name}", getattr(self, name), "give a positive number")
        check(self.look_pairs >= 1, "safeclip.look_pairs", self.look_pairs, "give 1 or more")
        check(self.neighbours >= 1, "safeclip.neighbours", self.neighbours, "give 1 or more")
        check(self.fit in ("converged", "paper"), "safeclip.fit", self.fit, "give converged or paper")
        check(self.scoring in ("fresh", "running"), "safeclip.scoring", self.scoring, "give fresh or running")
        check(self.risky_views in (1, 2), "safeclip.risky_views", self.risky_views, "choose among 1, 2")
        check(self.order in ("mixed", "sequential"), "safeclip.order", self.order, "give mixed or sequential")

    def pool(self, pairs: int) -> int:
        """Embeddings of a pool, for a data set of `pairs`."""
        return _pool(self.pool_size, self.pool_share, pairs)


@dataclass(frozen=True, kw_only=True)
class RoclipConfig:
    """RoCLIP's own numbers (Yang and Mirzasoleiman, NeurIPS 2023; docs/rivals.md)."""

    every: int = 2
    """Epochs from one matching epoch to the next. The paper: 2, and more often (1) against up to 1 % of poison."""
    first: int = 2
    """Earliest epoch that may match, at least 2; those before are plain CLIP. The paper's description has no such
    warm-up; an epoch of its data is 2,000 steps, and on small data a model matches at random after one epoch."""
    pool_share: float = 0.02
    """Size of the caption pool as a share of the pairs, at most 262,144 captions (POOL_MOST). The paper: 21,845 for 1M
    pairs, about 2 %."""
    pool_size: int | None = None
    """Size of the caption pool in embeddings, instead of `pool_share` and without its limit."""

    def __post_init__(self) -> None:
        check(self.every >= 1, "roclip.every", self.every, "give 1 or more epochs")
        check(self.first >= 2, "roclip.first", self.first, "give 2 or more: the first epoch's pool holds noise")
        check(0 < self.pool_share <= 1, "roclip.pool_share", self.pool_share, "give a share above 0, at most 1")
        check(self.pool_size is None or self.pool_size >= 1, "roclip.pool_size", self.pool_size, "give 1 or more")

    def pool(self, pairs: int) -> int:
        """Captions of the pool, for a data set of `pairs`."""
        return _pool(self.pool_size, self.pool_share, pairs)

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
        check(self.unimodal_weight >= 0, "cleanclip.unimodal_weight", self.unimodal_weight, "give 0 or more")


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
        check(
            self.look_epochs is None or self.look_epochs >= 1, "filter.look_epochs", self.look_epochs, "give 1 or more"
        )
        check(0 < self.share < 1, "filter.share", self.share, "give a share between 0 and 1")
        check(self.detector in DETECTORS, "filter.detector", self.detector, f"choose among {', '.join(DETECTORS)}")
        check(self.k >= 2, "filter.k", self.k, "give 2 or more")
        check(
            self.reference is None or self.reference > self.k,
            "filter.reference",
            self.reference,
            f"give more than filter.k = {self.k} pairs, or null for all",
        )

    def look(self, epochs: int) -> int:
        """Epochs of the first model, of a run of `epochs`."""
        return max(1, epochs // 2) if self.look_epochs is None else self.look_epochs


def _pool(size: int | None, share: float, pairs: int) -> int:
    return size if size is not None else min(round(share * pairs), POOL_MOST)
