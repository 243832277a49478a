"""All that shapes the rest of a run, to a checkpoint and back.

What must stay true: a run that goes on from a checkpoint ends with the same weights, scores and split as one that was
never cut off.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from safeclip.errors import InputError
from safeclip.methods.base import Method, State
from safeclip.run import RunDir, cut_back, length_of
from safeclip.train import checkpoint, distributed
from safeclip.train.bad_pairs import BadPairs
from safeclip.train.log import Log, NoLog
from safeclip.train.losses import Losses


@dataclass
class Place:
    """Where a run stands. epoch: from 1. next_batch: of the epoch, from 0. plan: digest of the epoch's batches. steps:
    taken in each schedule. seconds: trained."""

    epoch: int = 1
    next_batch: int = 0
    plan: str = ""
    steps: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def inside(self) -> str:
        """Name of a checkpoint here, in the midst of an epoch."""
        return f"epoch-{self.epoch:03d}-batch-{self.next_batch:06d}"


@dataclass(frozen=True)
class Keeper:
    """The parts of a run that have a state, each borrowed. belongs_to: as for `checkpoint.load`. most: checkpoints that
    are kept."""

    run: RunDir
    net: nn.Module
    optimizer: torch.optim.Optimizer
    method: Method
    losses: Losses
    bad: BadPairs
    log: Log | NoLog
    belongs_to: dict[str, str]
    most: int

    def save(self, place: Place, name: str) -> None:
        self.losses.settle()  # a checkpoint holds no step whose loss nobody has looked at
        weights = distributed.whole(self.net.state_dict())
        tensors = distributed.whole(checkpoint.pack_optimizer(self.optimizer))
        if distributed.first():
            self.bad.write()
            self.run.sync_lines()  # whose lengths a checkpoint counts on
            state = self.method.state_dict()
            tensors |= {f"method.{key}": value for key, value in state.tensors.items()}
            tensors |= {"rng.cpu": torch.get_rng_state()}
            if torch.cuda.is_available():
                tensors["rng.cuda"] = torch.cuda.get_rng_state()
            values = {
                "epoch": place.epoch,
                "next_batch": place.next_batch,
                "plan": place.plan,
                "steps": dict(place.steps),
                **self.losses.state_dict(),
                "seconds": place.seconds,
                "method": state.values,
                "bad": self.bad.state_dict(),
                "log_length": self.log.length(),
                "split_length": length_of(self.run.split_file),
                "belongs_to": self.belongs_to,
            }
            checkpoint.save(self.run.checkpoints, name, weights, tensors, values, self.most)
        distributed.await_first()  # of many pairs it may write longer than ranks wait for one another elsewhere

    def load(self, path: Path) -> Place:
        """Where the checkpoint stands. Raises InputError where it belongs to another run."""
        unread = () if distributed.first() else tuple(f"method.{name}" for name in self.method.of_first)
        tensors, values = checkpoint.load(path, self.net, self.belongs_to, unread)
        checkpoint.unpack_optimizer(self.optimizer, tensors)
        own = {key.removeprefix("method."): value for key, value in tensors.items() if key.startswith("method.")}
        try:
            self.method.load_state_dict(State(own, values["method"]))
        except KeyError as missing:
            raise InputError(
                f"{path}: holds no {missing}, which the run's method needs; set config.yaml back to what it was"
            ) from None
        torch.set_rng_state(tensors["rng.cpu"])
        if "rng.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["rng.cuda"])
        self.losses.load_state_dict(values)
        self.bad.load_state_dict(values["bad"])
        self.log.begin(values["log_length"])
        if distributed.first():
            cut_back(self.run.split_file, values["split_length"])
        return Place(
            epoch=values["epoch"],
            next_batch=values["next_batch"],
            plan=values.get("plan", ""),
            steps=Counter(values["steps"]),
            seconds=values["seconds"],
        )
