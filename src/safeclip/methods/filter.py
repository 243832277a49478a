"""Look, drop, start again (Huang et al., ICLR 2025, arXiv 2502.01385): an outlier detector on a plainly trained, and so
perhaps poisoned, model says which pairs a second model is not to see.

    epochs 1..W        plain CLIP on all pairs
    start of W+1       an outlier score of each pair from the first model's clean embeddings; the `share` of highest
                       score is dropped; weights and optimizer go back to what they were before the first step
    epochs W+1..E      plain CLIP on the rest, on a schedule of its own

What must stay true: the score is the published one and its high end is dropped, whatever the attack; no step of the
final model sees a dropped pair, nor anything that the first model learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from safeclip.config import RunConfig
from safeclip.errors import RunError
from safeclip.methods.base import Embeddings, Epoch, State, Tools
from safeclip.methods.clip import PlainClip, one_objective
from safeclip.signals.copies import copy_groups
from safeclip.signals.dao import dao
from safeclip.signals.kdist import kdist
from safeclip.signals.lid import lid
from safeclip.signals.neighbours import neighbour_agreement
from safeclip.signals.slof import slof
from safeclip.split import pack, unpack

OUTLIERS: dict[str, Callable[..., np.ndarray]] = {"kdist": kdist, "slof": slof, "lid": lid, "dao": dao}
"""Detectors that read the image embeddings alone."""


class Filter(PlainClip):
    def __init__(self, config: RunConfig, pairs: int, dim: int, decides: bool = True):
        super().__init__(config, pairs, dim, decides)
        self.own, self.look = config.filter, config.filter.look(config.epochs)
        self.kept = np.ones(pairs, bool)

    def begin_epoch(self, epoch: int, tools: Tools) -> None:
        if epoch == self.look + 1:
            scores = tools.embed(self.own.detector != "cosine")
            hashes = tools.hashes() if self.own.detector == "neighbours" else None
            self.load_state_dict(tools.decide(lambda: self._drop(epoch, scores, hashes, tools)))
            tools.restart()

    def plan(self, epoch: int, usable: np.ndarray) -> Epoch:
        uids = np.flatnonzero(usable & self.kept)
        if epoch <= self.look:
            return one_objective(self.config, epoch, "look", "clip", uids, epochs=self.look)
        return one_objective(self.config, epoch, "retrain", "clip", uids, epochs=self.config.epochs - self.look)

    def state_dict(self) -> State:
        return _state(self.kept)

    def load_state_dict(self, state: State) -> None:
        self.kept = unpack(state.tensors["kept_bits"].numpy(), len(self.kept))

    def _drop(self, epoch: int, scores: Embeddings, hashes: np.ndarray | None, tools: Tools) -> State:
        """A new `kept`, from the embeddings of the model as it stands."""
        usable = np.flatnonzero(tools.usable)
        risk = self._risk(scores, usable, hashes, tools.device)
        kept = least_outlying(risk, self.own.share)
        of_all = np.zeros(len(self.kept), bool)
        of_all[usable[kept]] = True
        record = {
            "epoch": epoch,
            "detector": self.own.detector,
            "safe_share": float(kept.mean()),
            "safe_count": int(kept.sum()),
        }
        columns = {"uid": usable, "similarity": scores.cosine.numpy()[usable], "safe": kept, "risk": risk}
        tools.record_split(record, columns)
        tools.note(f"{int((~kept).sum())} of {len(kept)} pairs dropped by {self.own.detector}; training starts again")
        return _state(of_all)

    def _risk(
        self, scores: Embeddings, usable: np.ndarray, hashes: np.ndarray | None, device: torch.device
    ) -> np.ndarray:
        """The detector's score of each usable pair, float32, high where it is suspicious."""
        own = self.own
        if own.detector == "cosine":
            cosine: np.ndarray = scores.cosine.numpy()[usable]
            return -cosine
        if hashes is not None:
            groups = copy_groups(hashes)[usable]
            return -neighbour_agreement(scores.image, scores.text, own.k, groups, device=device, rows_N=usable)
        among: dict[str, Any] = {} if own.reference is None else {"max_reference": own.reference}
        return OUTLIERS[own.detector](scores.image[usable], own.k, device=device, **among)


def _state(kept_N: np.ndarray) -> State:
    return State({"kept_bits": torch.from_numpy(pack(kept_N))})


def least_outlying(risk_N: np.ndarray, share: float) -> np.ndarray:
    """All but the round(share * N) pairs of highest risk, bool (N,); of equal risks the later pairs go first.

    Raises:
        RunError: a risk is NaN, or no pair would be dropped, or fewer than 2 kept.

    >>> least_outlying(np.array([0.1, 3.0, 0.2, 0.2]), 0.5).tolist()
    [True, False, True, False]
    """
    count, dropped = len(risk_N), round(share * len(risk_N))
    if np.isnan(risk_N).any():
        raise RunError(f"filter: the risk of {int(np.isnan(risk_N).sum())} pairs is NaN; lower optim.rate")
    if dropped == 0 or count - dropped < 2:
        raise RunError(
            f"filter.share = {share}: drops {dropped} of {count} pairs; give a share that drops and leaves some"
        )
    kept_N = np.zeros(count, bool)
    kept_N[np.argsort(risk_N, kind="stable")[: count - dropped]] = True
    return kept_N
