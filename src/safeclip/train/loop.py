"""A training run, top to bottom: open the data, build the towers; for each epoch, ask the method and take the steps.

The loop knows no method by name and no file format. What must stay true: everything that shapes the rest of the run is
in the checkpoint, so that a run killed at any moment and resumed ends with the same weights, scores and split. What
else can go wrong, and what becomes of the run then: docs/crashes.md.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from safeclip.attacks.manifest import Manifest
from safeclip.config import RunConfig, to_dict
from safeclip.data.loader import Inputs, Loader, drawn_captions
from safeclip.data.plan import digest
from safeclip.data.read import Reader
from safeclip.data.sources import open_pairs
from safeclip.errors import Halted, InputError, RunError
from safeclip.methods import build_method
from safeclip.methods.base import Epoch, Tools
from safeclip.model import precision
from safeclip.model.build import build, checkpoint_gradients
from safeclip.model.context import cut_for
from safeclip.model.embed import Embedder
from safeclip.model.threads import set_threads
from safeclip.run import RunDir, copy_file, cut_back
from safeclip.train import checkpoint, distributed, memory, scoring
from safeclip.train.bad_pairs import BadPairs
from safeclip.train.identity import agreed, identity
from safeclip.train.keeper import Keeper, Place
from safeclip.train.log import Log, NoLog
from safeclip.train.losses import Losses, Step
from safeclip.train.prefetch import prefetched
from safeclip.train.progress import Bar, warn
from safeclip.train.schedule import rate_at
from safeclip.train.step import Stepper
from safeclip.train.stop import Stop

LOG_EVERY = 10


def train(config: RunConfig, out: str | os.PathLike[str], *, quiet: bool = False) -> RunDir:
    """Train as `config` says into the run directory `out`. quiet: tell no progress.

    Raises InputError on settings or data that cannot be used, RunError where training itself fails, and Halted, its
    state saved, where it was told to end or its data is gone. The processes of `torchrun` train together; the first
    alone writes.
    """
    with distributed.ranks():
        set_threads()
        run, device, first = RunDir(out), distributed.device(), distributed.first()
        if first:
            run.check_free()
        arithmetic = distributed.of_first(precision.resolve(config.model.precision, device))
        config = replace(config, model=replace(config.model, precision=arithmetic))
        manifest = None if config.manifest is None else Manifest.load(config.manifest)
        trainer = _Trainer(config, run, manifest, device, quiet)
        if first:
            if config.manifest is not None:
                copy_file(config.manifest, run.manifest_file)
            run.create(config)  # last: a folder with a config.yaml is a run that can be resumed
        return _go_on(trainer)


def resume(out: str | os.PathLike[str], *, quiet: bool = False) -> RunDir:
    """Go on with the run in `out` where its newest checkpoint stands. The rest as for `train`."""
    with distributed.ranks():
        set_threads()
        run = RunDir(out)
        config = run.config()
        manifest = None if config.manifest is None else Manifest.load(run.manifest_file)
        return _go_on(_Trainer(config, run, manifest, distributed.device(), quiet))


def _go_on(trainer: _Trainer) -> RunDir:
    """From the run's newest checkpoint, or from the start, to its end."""
    run, settings = trainer.run, json.dumps(to_dict(trainer.config))
    with run.alone(distributed.first()):
        distributed.agree("other settings or data", settings + trainer.reader.source.fingerprint)
        newest, damaged = _newest(run)
        if newest is not None:
            trainer.at = trainer.keeper.load(newest)
        elif distributed.first():
            trainer.log.begin(0)
            cut_back(run.split_file, 0)
        for line in damaged:
            warn(line)
            trainer.log.add({"event": "note", "epoch": trainer.at.epoch, "text": line})
        trainer.run_all()
    return run


def _newest(run: RunDir) -> tuple[Path | None, list[str]]:
    """As `checkpoint.newest_whole`, which reads all of a checkpoint: rank 0 alone asks, the others wait."""
    newest, damaged = checkpoint.newest_whole(run.checkpoints) if distributed.first() else (None, [])
    distributed.await_first()
    name = distributed.of_first(newest.name if newest else None)
    return None if name is None else run.checkpoints / name, distributed.of_first(damaged)


class _Trainer:
    def __init__(self, config: RunConfig, run: RunDir, manifest: Manifest | None, device: torch.device, quiet: bool):
        self.config, self.run, self.manifest, self.device, self.quiet = config, run, manifest, device, quiet
        data = config.data
        source = open_pairs(data)
        if len(source) < config.optim.batch_size:
            raise InputError(
                f"optim.batch_size = {config.optim.batch_size}: "
                f"the data has {len(source)} pairs; give at most that many"
            )
        if manifest is not None:
            manifest.check(source)
        self.log: Log | NoLog = Log(run, config.tensorboard) if distributed.first() else NoLog()
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may sum in another order
        torch.use_deterministic_algorithms(config.deterministic, warn_only=True)  # of steps: exactly.py
        torch.backends.cudnn.benchmark = not config.deterministic
        # nothing here reads memory it has not written
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.manual_seed(config.seed)
        self.clip = build(config.model, seed=config.seed)
        self.clip.net.to(device, memory_format=torch.channels_last)
        self.reader = Reader(source, data, manifest, short_side=self.clip.read_side)
        self.reader.check()
        self.method = build_method(config, len(source), self.clip.dim, decides=distributed.first())
        for part in self.method.pools.values():
            part.to(device).spread = distributed.by_shares
        resolved = config.model.precision
        assert resolved != "auto"
        if config.model.grad_checkpointing:
            checkpoint_gradients(self.clip)
        self.stepper = Stepper(self.clip, self.method, config, resolved, device, self._note)
        self.embedder = Embedder(self.clip, device, resolved)
        recipes = {name: objective.recipe for name, objective in self.method.objectives.items()}
        cut = None if config.model.shard else cut_for(self.clip.net)  # FSDP2 gathers the weights of encode_text alone
        self.loader = Loader(
            self.reader, config.views, self.clip.image_size, self.clip.tokenize, recipes, config.seed, cut
        )
        self.bad = BadPairs(run.bad_pairs_file, len(source), data.max_bad_share, writes=distributed.first())
        self.losses = Losses(config.optim, self.log.add, warn)
        self.at = Place()
        self.keeper = Keeper(
            run,
            self.clip.net,
            self.stepper.optimizer,
            self.method,
            self.losses,
            self.bad,
            self.log,
            identity(config, source.fingerprint),
            config.keep_checkpoints,
        )
        self.saved_at = self.counted = time.monotonic()
        self.stop = Stop()

    def run_all(self) -> None:
        with self.stop:
            try:
                self._run_all()
            except Halted as why:
                raise Halted(f"{why}; {self._kept()}") from None

    def _run_all(self) -> None:
        config, pairs = self.config, len(self.reader)
        with Bar(f"{config.method:>8}", quiet=self.quiet or not distributed.first()) as bar:
            if self.at.epoch <= config.epochs:
                self.reader.cache_all(partial(self._progress, bar, "reading pictures"))
            if self.at.epoch == 1 and self.at.next_batch == 0 and not self.log.length():
                self.log.add({"event": "start", "method": config.method, "pairs": pairs, "epochs": config.epochs})
            while self.at.epoch <= config.epochs:
                self.stop.agree(f"before epoch {self.at.epoch}")
                self._run_epoch(bar)
            self.log.add({"event": "end", "seconds": self.at.seconds})
            self.log.close()
            bar.at(1.0, "done")
        self.stop.agree("after the last epoch")

    def _kept(self) -> str:
        """Save what the checkpoints lack; says where the run goes on. A rank that halts alone saves nothing."""
        newest = checkpoint.latest(self.run.checkpoints)
        if distributed.world() == 1 or self.stop.agreed:
            if distributed.of_first(self.at.next_batch > 0 and (newest is None or newest.name != self.at.inside)):
                self.save(self.at.inside)
            newest = checkpoint.latest(self.run.checkpoints)
        where = "the start" if newest is None else newest.name
        return f"`safeclip train --resume --out {self.run.path}` goes on from {where}"

    def _run_epoch(self, bar: Bar) -> None:
        began = self.counted = time.monotonic()
        if self.at.next_batch == 0:
            self.losses.begin_epoch()
            self.bad.settle()
            self.method.begin_epoch(self.at.epoch, self._tools(bar))
        epoch = self.method.plan(self.at.epoch, self.bad.usable)
        # before ranks take their slices
        epoch = replace(epoch, batches=self.loader.ordered(self.at.epoch, epoch.batches))
        begun = self.at.plan if self.at.next_batch else ""
        self.at.plan = agreed(digest(epoch.batches), begun, f"{self.run.config_file}, epoch {self.at.epoch}")
        pairs, read = sum(len(batch.uids) for batch in epoch.batches), 0
        bar.begin(self._done(epoch))
        batches = self.loader.batches(self.at.epoch, distributed.shares(epoch.batches), self.at.next_batch)
        for i, inputs in enumerate(prefetched(batches, self.device), self.at.next_batch):
            found = distributed.joined(inputs.bad)
            self.bad.add(found)
            inputs, slices = distributed.meet(inputs, epoch.batches[i].uids, {uid for uid, _ in found})
            taken = sum(map(len, slices))
            if taken >= 2:
                self._step(inputs, epoch, i, slices)
            read += taken
            self.at.next_batch = i + 1
            spent = time.monotonic() - began
            pace = f"{epoch.phase}  {read / spent:,.0f} pairs/s{self.losses}"
            bar.at(self._done(epoch), f"epoch {self.at.epoch}/{self.config.epochs} {pace}")
            if self.at.next_batch < len(epoch.batches) and self._due():
                self.stop.agree(f"in epoch {self.at.epoch} after batch {self.at.next_batch} of {len(epoch.batches)}")
                self.save(self.at.inside)
        self.losses.settle()
        spent = time.monotonic() - began
        record = {"event": "epoch", "epoch": self.at.epoch, "step": sum(self.at.steps.values()), "phase": epoch.phase}
        record |= {"loss": self.losses.means(), "pairs": pairs, "seconds": spent, "pairs_per_second": read / spent}
        self.log.add(record | memory.used(self.device))
        self.at.epoch, self.at.next_batch = self.at.epoch + 1, 0
        self.save(f"epoch-{self.at.epoch - 1:03d}")

    def _done(self, epoch: Epoch) -> float:
        """Share of all epochs, 0..1."""
        return (self.at.epoch - 1 + self.at.next_batch / max(1, len(epoch.batches))) / self.config.epochs

    def _step(self, inputs: Inputs, epoch: Epoch, index: int, slices: list[np.ndarray]) -> None:
        name = inputs.objective
        schedule = epoch.schedules[name]
        key = schedule.shared or f"{epoch.phase}/{name}"
        # Pairs found bad leave later epochs, and the schedule shortens under its steps: what is over runs at its end.
        step = min(self.at.steps[key], schedule.steps - 1)
        rate = rate_at(step, schedule.steps, schedule.peak, self.config.optim.warmup_share, schedule.constant)
        loss = self._loss(inputs, rate, index, slices)
        self.at.steps[key] += 1
        self.losses.add(loss, Step(name, self.at.epoch, index, sum(self.at.steps.values()), np.concatenate(slices)))
        if index % LOG_EVERY == 0 and np.isfinite(newest := self.losses.settle()):
            scale = float(self.clip.net.logit_scale.detach().exp())
            where = {"event": "step", "epoch": self.at.epoch, "step": sum(self.at.steps.values()), "phase": epoch.phase}
            self.log.add(where | {"objective": name, "loss": newest, "rate": rate, "logit_scale": scale})

    def _loss(self, inputs: Inputs, rate: float, index: int, slices: list[np.ndarray]) -> Tensor:
        """Still on the device; NaN where the step was skipped. Raises RunError where it does not fit in memory."""
        try:
            return self.stepper(inputs, rate, slices)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
        where, optim = f"epoch {self.at.epoch}, batch {index}", self.config.optim
        if distributed.world() > 1:  # the others take part in no trial
            mend = f"set optim.accumulate = {2 * optim.accumulate} or more, or give it more ranks"
            raise RunError(f"{where}: out of memory on rank {distributed.rank()}; {mend}")
        # trials spoil the towers, which are not saved any more
        try_step = lambda parts: self.stepper(inputs, 0.0, accumulate=parts)  # noqa: E731
        told = memory.what_fits(try_step, optim.accumulate, len(inputs.uids))
        raise RunError(f"{where}: {told}; `--resume` goes on with what {self.run.config_file} says")

    def _progress(self, bar: Bar, what: str, i: int, n: int) -> None:
        if distributed.world() == 1:  # ranks end together, after it
            self.stop.check(f"while {what} for epoch {self.at.epoch}")
        epochs = self.config.epochs
        bar.at((self.at.epoch - 1) / epochs, f"epoch {self.at.epoch}/{epochs} {what} {i}/{n}")

    def _tools(self, bar: Bar) -> Tools:
        """What the method may ask for at the start of an epoch."""
        draw = partial(drawn_captions, seed=self.config.seed, epoch=self.at.epoch)
        scored, looked = (partial(self._progress, bar, what) for what in ("scoring", "looking at the data"))
        one = None if self.config.data.caption_choice == "mean" else draw
        return Tools(
            usable=self.bad.usable,
            device=self.device,
            embed=lambda kept: scoring.embed_all(self.reader, self.embedder, self.bad, one, kept, scored),
            hashes=lambda: scoring.hash_all(self.reader, self.bad, looked),
            glance=lambda uids: scoring.glance(self.reader, self.clip.tokenize.told, self.bad, uids, looked),
            decide=scoring.decide,
            restart=self._restart,
            record_split=partial(scoring.record_split, self.run, self.manifest, self.at.epoch),
            note=self._note,
            save=self._save_between,
        )

    def _note(self, text: str) -> None:
        self.log.add({"event": "note", "epoch": self.at.epoch, "text": text})

    def _restart(self) -> None:
        """Weights and optimizer as they were before the first step; bad pairs, counters and random state stay."""
        first = build(self.config.model, seed=self.config.seed)
        self.clip.net.load_state_dict(first.net.state_dict())
        self.stepper.optimizer.state.clear()

    def _due(self) -> bool:
        """Whether it is time for a checkpoint, or to end; all ranks say the same."""
        minutes = (time.monotonic() - self.saved_at) / 60
        return distributed.anywhere(self.stop.asked or minutes > self.config.checkpoint_minutes)

    def _save_between(self) -> None:
        """Between two parts of what comes before an epoch's batches."""
        if self._due():
            self.save(self.at.inside)
            self.stop.agree(f"before the batches of epoch {self.at.epoch}")

    def save(self, name: str) -> None:
        self.at.seconds, self.counted = self.at.seconds + time.monotonic() - self.counted, time.monotonic()
        self.keeper.save(self.at, name)
        self.saved_at = time.monotonic()  # from its end on: one that takes long must leave time for steps
