"""A training run, top to bottom: open the data, build the towers; for each epoch, ask the method and take the steps.

The loop knows no method by name and no file format. What must stay true: everything that shapes the rest of the run is
in the checkpoint, so that a run killed at any moment and resumed ends with the same weights, scores and split. What
else can go wrong, and what becomes of the run then: docs/crashes.md.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from safeclip.attacks.manifest import Manifest
from safeclip.config import RunConfig, to_dict
from safeclip.data.loader import Inputs, Loader, drawn
from safeclip.data.plan import digest
from safeclip.data.read import Reader
from safeclip.data.sources import open_pairs
from safeclip.errors import Halted, InputError, RunError
from safeclip.methods import build_method
from safeclip.methods.base import Epoch, State, Tools
from safeclip.model import precision
from safeclip.model.build import build, checkpoint_gradients
from safeclip.model.context import cut_for
from safeclip.model.embed import Embedder
from safeclip.model.threads import set_threads
from safeclip.run import RunDir, copy_file, cut_back, length_of
from safeclip.train import checkpoint, distributed, memory, scoring
from safeclip.train.bad_pairs import BadPairs
from safeclip.train.identity import agreed, identity
from safeclip.train.log import Log, NoLog
from safeclip.train.losses import Losses, Step
from safeclip.train.prefetch import prefetched
from safeclip.train.progress import Bar, warn
from safeclip.train.schedule import rate_at
from safeclip.train.step import Stepper
from safeclip.train.stop import Stop

LOG_EVERY = 10


def train(config: RunConfig, out: str | os.PathLike[str], *, resume: bool = False, quiet: bool = False) -> RunDir:
    """Train as `config` says into the run directory `out`; with `resume`, go on where its newest checkpoint stands.

    Raises InputError on settings or data that cannot be used, RunError where training itself fails, and Halted, its
    state saved, where it was told to end or its data is gone. The processes of `torchrun` train together; the first
    alone writes.
    """
    with distributed.ranks():
        return _train(config, RunDir(out), resume, quiet)


def _train(config: RunConfig, run: RunDir, resume: bool, quiet: bool) -> RunDir:
    set_threads()
    device, first = distributed.device(), distributed.first()
    if resume:
        config = run.config()
    else:
        if first:
            run.check_free()
        arithmetic = distributed.of_first(precision.resolve(config.model.precision, device))
        config = replace(config, model=replace(config.model, precision=arithmetic))
    planted = None
    if config.manifest is not None:
        planted = Manifest.load(run.manifest_file if resume else config.manifest)
    trainer = _Trainer(config, run, planted, device, quiet)
    if not resume and first:
        if config.manifest is not None:
            copy_file(config.manifest, run.manifest_file)
        run.create(config)  # last: a folder with a config.yaml is a run that can be resumed
    with run.alone(first):
        _go_on(trainer)
    return run


def _go_on(trainer: _Trainer) -> None:
    """From the run's newest checkpoint, or from the start, to its end."""
    run, settings = trainer.run, json.dumps(to_dict(trainer.config))
    newest, damaged = checkpoint.newest_whole(run.checkpoints)
    distributed.agree("other settings or data", settings + trainer.reader.source.fingerprint)
    distributed.agree("another newest checkpoint", newest.name if newest else "none")
    if newest is not None:
        trainer.load(newest)
    elif distributed.first():
        trainer.log.begin(0)
        cut_back(run.split_file, 0)
    for line in damaged:
        warn(line)
        trainer.log.add({"event": "note", "epoch": trainer.epoch, "text": line})
    trainer.run_all()


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
        self.reader = Reader(source, data, manifest, short_side=round(self.clip.image_size * 1.25))
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
        size, words = self.clip.image_size, self.clip.tokenize
        cut = None if config.model.shard else cut_for(self.clip.net)  # FSDP2 gathers the weights of encode_text alone
        self.loader = Loader(self.reader, config.views, size, words, recipes, config.seed, cut)
        self.bad = BadPairs(run.bad_pairs_file, len(source), data.max_bad_share, writes=distributed.first())
        self.belongs_to = identity(config, source.fingerprint)
        self.epoch, self.next_batch, self.plan = 1, 0, ""
        self.steps: Counter[str] = Counter()
        self.losses = Losses(config.optim, self.log.add, warn)
        self.seconds = 0.0
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
            if self.epoch <= config.epochs:
                self.reader.cache_all(partial(self._progress, bar, "reading pictures"))
            if self.epoch == 1 and self.next_batch == 0 and not self.log.length():
                self.log.add({"event": "start", "method": config.method, "pairs": pairs, "epochs": config.epochs})
            while self.epoch <= config.epochs:
                self.stop.agree(f"before epoch {self.epoch}")
                self._run_epoch(bar)
            self.log.add({"event": "end", "seconds": self.seconds})
            self.log.close()
            bar.at(1.0, "done")
        self.stop.agree("after the last epoch")

    def _kept(self) -> str:
        """Save what the checkpoints lack; says where the run goes on. A rank that halts alone saves nothing."""
        newest = checkpoint.latest(self.run.checkpoints)
        if distributed.world() == 1 or self.stop.agreed:
            if distributed.of_first(self.next_batch > 0 and (newest is None or newest.name != self._inside())):
                self.save(self._inside())
            newest = checkpoint.latest(self.run.checkpoints)
        where = "the start" if newest is None else newest.name
        return f"`safeclip train --resume --out {self.run.path}` goes on from {where}"

    def _inside(self) -> str:
        return f"epoch-{self.epoch:03d}-batch-{self.next_batch:06d}"

    def _run_epoch(self, bar: Bar) -> None:
        began = self.counted = time.monotonic()
        if self.next_batch == 0:
            self.losses.begin_epoch()
            self.bad.settle()
            self.method.begin_epoch(self.epoch, self._tools(bar))
        epoch = self.method.plan(self.epoch, self.bad.usable)
        epoch = replace(epoch, batches=self.loader.ordered(self.epoch, epoch.batches))  # before ranks take their slices
        begun = self.plan if self.next_batch else ""
        self.plan = agreed(digest(epoch.batches), begun, f"{self.run.config_file}, epoch {self.epoch}")
        pairs, read = sum(len(batch.uids) for batch in epoch.batches), 0
        bar.begin(self._done(epoch))
        batches = self.loader.batches(self.epoch, distributed.shares(epoch.batches), self.next_batch)
        for i, inputs in enumerate(prefetched(batches, self.device), self.next_batch):
            found = distributed.joined(inputs.bad)
            self.bad.add(found)
            inputs, slices = distributed.meet(inputs, epoch.batches[i].uids, {uid for uid, _ in found})
            taken = sum(map(len, slices))
            if taken >= 2:
                self._step(inputs, epoch, i, slices)
            read += taken
            self.next_batch = i + 1
            spent = time.monotonic() - began
            pace = f"{epoch.phase}  {read / spent:,.0f} pairs/s{self.losses}"
            bar.at(self._done(epoch), f"epoch {self.epoch}/{self.config.epochs} {pace}")
            if self.next_batch < len(epoch.batches) and self._due():
                self.stop.agree(f"in epoch {self.epoch} after batch {self.next_batch} of {len(epoch.batches)}")
                self.save(self._inside())
        self.losses.settle()
        spent = time.monotonic() - began
        record = {"event": "epoch", "epoch": self.epoch, "step": sum(self.steps.values()), "phase": epoch.phase}
        record |= {"loss": self.losses.means(), "pairs": pairs, "seconds": spent, "pairs_per_second": read / spent}
        self.log.add(record | memory.used(self.device))
        self.epoch, self.next_batch = self.epoch + 1, 0
        self.save(f"epoch-{self.epoch - 1:03d}")

    def _done(self, epoch: Epoch) -> float:
        """Share of all epochs, 0..1."""
        return (self.epoch - 1 + self.next_batch / max(1, len(epoch.batches))) / self.config.epochs

    def _step(self, inputs: Inputs, epoch: Epoch, index: int, slices: list[np.ndarray]) -> None:
        name = inputs.objective
        schedule = epoch.schedules[name]
        key = schedule.shared or f"{epoch.phase}/{name}"
        # Pairs found bad leave later epochs, and the schedule shortens under its steps: what is over runs at its end.
        step = min(self.steps[key], schedule.steps - 1)
        rate = rate_at(step, schedule.steps, schedule.peak, self.config.optim.warmup_share, schedule.constant)
        loss = self._loss(inputs, rate, index, slices)
        self.steps[key] += 1
        self.losses.add(loss, Step(name, self.epoch, index, sum(self.steps.values()), np.concatenate(slices)))
        if index % LOG_EVERY == 0 and np.isfinite(newest := self.losses.settle()):
            scale = float(self.clip.net.logit_scale.detach().exp())
            where = {"event": "step", "epoch": self.epoch, "step": sum(self.steps.values()), "phase": epoch.phase}
            self.log.add(where | {"objective": name, "loss": newest, "rate": rate, "logit_scale": scale})

    def _loss(self, inputs: Inputs, rate: float, index: int, slices: list[np.ndarray]) -> Tensor:
        """Still on the device; NaN where the step was skipped. Raises RunError where it does not fit in memory."""
        try:
            return self.stepper(inputs, rate, slices)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
        where, optim = f"epoch {self.epoch}, batch {index}", self.config.optim
        if distributed.world() > 1:  # the others take part in no trial
            mend = f"set optim.accumulate = {2 * optim.accumulate} or more, or give it more ranks"
            raise RunError(f"{where}: out of memory on rank {distributed.rank()}; {mend}")
        # trials spoil the towers, which are not saved any more
        try_step = lambda parts: self.stepper(inputs, 0.0, accumulate=parts)  # noqa: E731
        told = memory.what_fits(try_step, optim.accumulate, len(inputs.uids))
        raise RunError(f"{where}: {told}; `--resume` goes on with what {self.run.config_file} says")

    def _progress(self, bar: Bar, what: str, i: int, n: int) -> None:
        if distributed.world() == 1:  # ranks end together, after it
            self.stop.check(f"while {what} for epoch {self.epoch}")
        epochs = self.config.epochs
        bar.at((self.epoch - 1) / epochs, f"epoch {self.epoch}/{epochs} {what} {i}/{n}")

    def _tools(self, bar: Bar) -> Tools:
        """What the method may ask for at the start of an epoch."""
        draw = partial(drawn, seed=self.config.seed, epoch=self.epoch)
        scored, looked = (partial(self._progress, bar, what) for what in ("scoring", "looking at the data"))
        one = None if self.config.data.caption_choice == "mean" else draw
        return Tools(
            usable=self.bad.usable,
            device=self.device,
            embed=lambda kept: scoring.embed_all(self.reader, self.embedder, self.bad, one, kept, scored),
            hashes=lambda: scoring.hash_all(self.reader, self.bad, looked),
            glance=lambda uids: scoring.glance(self.reader, self.clip.tokenize.read, self.bad, uids, looked),
            decide=scoring.decide,
            restart=self._restart,
            record_split=partial(scoring.record_split, self.run, self.manifest, self.epoch),
            note=self._note,
            save=self._save_between,
        )

    def _note(self, text: str) -> None:
        self.log.add({"event": "note", "epoch": self.epoch, "text": text})

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
            self.save(self._inside())
            self.stop.agree(f"before the batches of epoch {self.epoch}")

    def save(self, name: str) -> None:
        self.seconds, self.counted = self.seconds + time.monotonic() - self.counted, time.monotonic()
        self.losses.settle()  # a checkpoint holds no step whose loss nobody has looked at
        weights = distributed.whole(self.clip.net.state_dict())
        moments = distributed.whole(checkpoint.pack_optimizer(self.stepper.optimizer))
        if distributed.first():
            self._write(name, weights, moments)
        distributed.await_first()  # of many pairs it may write longer than ranks wait for one another elsewhere
        self.saved_at = time.monotonic()  # from its end on: one that takes long must leave time for steps

    def _write(self, name: str, weights: dict[str, Tensor], moments: dict[str, Tensor]) -> None:
        self.bad.write()
        self.run.sync_lines()  # whose lengths a checkpoint counts on
        state = self.method.state_dict()
        tensors = {f"method.{key}": value for key, value in state.tensors.items()}
        tensors |= moments | {"rng.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state()
        values = {
            "epoch": self.epoch,
            "next_batch": self.next_batch,
            "plan": self.plan,
            "steps": dict(self.steps),
            **self.losses.state_dict(),
            "seconds": self.seconds,
            "method": state.values,
            "bad": self.bad.state_dict(),
            "log_length": self.log.length(),
            "split_length": length_of(self.run.split_file),
            "belongs_to": self.belongs_to,
        }
        checkpoint.save(self.run.checkpoints, name, weights, tensors, values, self.config.keep_checkpoints)

    def load(self, path: Path) -> None:
        """Go on where the checkpoint stands. Raises InputError where it belongs to another run."""
        unread = () if distributed.first() else tuple(f"method.{name}" for name in self.method.of_first)
        tensors, values = checkpoint.load(path, self.clip.net, self.belongs_to, unread)
        checkpoint.unpack_optimizer(self.stepper.optimizer, tensors)
        own = {key.removeprefix("method."): value for key, value in tensors.items() if key.startswith("method.")}
        try:
            self.method.load_state_dict(State(own, values["method"]))
        except KeyError as missing:
            raise InputError(
                f"{path}: holds no {missing}, which {self.config.method} needs; set config.yaml back to what it was"
            ) from None
        torch.set_rng_state(tensors["rng.cpu"])
        if "rng.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["rng.cuda"])
        self.epoch, self.next_batch, self.seconds = values["epoch"], values["next_batch"], values["seconds"]
        self.plan = values.get("plan", "")
        self.steps = Counter(values["steps"])
        self.losses.load_state_dict(values)
        self.bad.load_state_dict(values["bad"])
        self.log.begin(values["log_length"])
        if distributed.first():
            cut_back(self.run.split_file, values["split_length"])
