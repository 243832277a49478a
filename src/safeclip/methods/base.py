"""What a training method is to the loop: which batches an epoch has, and which loss each of them gets.

The loop (train/) asks `begin_epoch` once, before an epoch's first step, then `plan` (pure, so that a resumed epoch has
the same batches), then `loss` and `observe` for each batch. A method never sees files, optimizers or devices' names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.data.loader import Recipe
from safeclip.data.plan import Batch
from safeclip.model.pool import Pool
from safeclip.signals.glance import Glance


@dataclass(frozen=True)
class Objective:
    """A loss by name. recipe: what its batches are made of. grads: for each view, whether gradients flow through it."""

    recipe: Recipe
    grads: tuple[bool, ...]


@dataclass(frozen=True)
class Schedule:
    """Learning rate of one objective in one phase. peak: rate. steps: of this objective in the whole phase, or
    of all that `shared` joins. constant: hold the peak instead of warming up and ending at zero. shared: name under
    which the steps of several objectives, or phases, are counted as those of one schedule; None counts this
    objective's in this phase alone."""

    peak: float
    steps: int
    constant: bool = False
    shared: str | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch as planned. phase: its name. schedules: objective -> Schedule."""

    phase: str
    batches: list[Batch]
    schedules: dict[str, Schedule]


@dataclass(frozen=True)
class Embeddings:
    """Unit embeddings of every pair, float32 or float16 (N, D), and their cosine, float32 (N,); rows of unusable pairs
    are zero. Where only cosines were asked for, the embeddings have no rows."""

    image: Tensor
    text: Tensor
    cosine: Tensor


@dataclass(frozen=True)
class Tools:
    """What the loop lends a method at the start of an epoch.

    usable: bool (N,), False for pairs that could not be read. embed: a clean pass over all usable pairs; asked with
    False, for their cosines alone. hashes: perceptual hashes uint64 (N,). glance: the same of the given uids, with
    small pictures and words, in one pass. These three give arrays of no rows to ranks that do not decide.
    decide: calls what it is given on one rank, and returns on every rank what that one found.
    device: where the towers lie, and what many embeddings are compared on.
    restart: puts the towers, the logit scale among them, and the optimizer back to what they were before the first
    step; the place in the data and the method's own state stay.
    record_split: takes the split's record and its score columns, always `uid`, `similarity` and the bool `safe`, and
    whatever else the method has. note: a line for the log. save: writes a checkpoint if one is due; a run that goes on
    from it begins this epoch anew, with the method's state as it is here.
    """

    usable: np.ndarray
    device: torch.device
    embed: Callable[[bool], Embeddings]
    hashes: Callable[[], np.ndarray]
    glance: Callable[[np.ndarray], Glance]
    decide: Callable[[Callable[[], State]], State]
    restart: Callable[[], None]
    record_split: Callable[[dict[str, Any], dict[str, np.ndarray]], None]
    note: Callable[[str], None]
    save: Callable[[], None]


class Method:
    """Each method overrides `plan` and `loss`, and the rest where it changes between epochs, or keeps anything.

    Where ranks train together, each has one, and all have to agree: what depends on sums of floating-point numbers is
    left to `Tools.decide`, and what only that needs may be kept by the rank that decides alone."""

    objectives: dict[str, Objective]
    pools: Mapping[str, Pool] = {}
    """Moved to the device before the first step."""
    of_first: tuple[str, ...] = ()
    """How the names begin of those tensors of `state_dict` that the rank that decides needs alone: the others load them
    empty."""

    def begin_epoch(self, epoch: int, tools: Tools) -> None:
        """Change state for `epoch` (from 1): score, split, grow."""

    def plan(self, epoch: int, usable: np.ndarray) -> Epoch:
        """The epoch's batches, from state alone."""
        raise NotImplementedError

    def loss(
        self, objective: str, image: list[Tensor], text: list[Tensor], scale: Tensor, rows: slice | None = None
    ) -> Tensor:
        """Loss of one batch. image, text: a unit embedding (B, D) for each view. scale: exp(logit_scale). rows: mean
        over these pairs of the batch alone (objective.py); None: over all."""
        raise NotImplementedError

    def observe(self, objective: str, uids: np.ndarray, image: list[Tensor], text: list[Tensor]) -> None:
        """Called after the loss, with the same embeddings detached: fill pools, keep running scores."""

    def state_dict(self) -> State:
        return State()

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` gave."""


@dataclass
class State:
    """A method's state in two plain halves: tensors by name, and JSON values by name."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
