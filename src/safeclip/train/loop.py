"""A training run, top to bottom: open the data, build the towers, then for each epoch ask the method what to read and take the steps.

The loop knows no method by name and no file format. What must stay true: everything that shapes the rest of the run is in the
checkpoint, so that a run killed at any moment and resumed ends with the same weights, scores and split.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.attacks.manifest import Manifest
from safeclip.config import RunConfig
from safeclip.data.loader import CLEAN, Loader
from safeclip.data.pairs import BadPair
from safeclip.data.read import Reader
from safeclip.data.sources import open_source
from safeclip.errors import InputError, RunError
from safeclip.methods import build_method
from safeclip.methods.base import Embeddings, Epoch, Tools
from safeclip.model import precision
from safeclip.model.build import build
from safeclip.model.embed import Embedder
from safeclip.run import RunDir, append_line, cut_back, length_of, write_scores
from safeclip.signals.copies import perceptual_hashes
from safeclip.train import checkpoint
from safeclip.train.bad_pairs import BadPairs
from safeclip.train.progress import Bar
from safeclip.train.schedule import rate_at
from safeclip.train.step import Stepper

LOG_EVERY = 10


def train(config: RunConfig, out: str | os.PathLike[str], *, resume: bool = False, quiet: bool = False) -> RunDir:
    """Train as `config` says into the run directory `out`; with `resume`, go on where its newest checkpoint stands.

    Raises InputError on settings or data that cannot be used, RunError where training itself fails.
    """
    run = RunDir(out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if resume:
        config = run.config()
    else:
        config = replace(
            config, model=replace(config.model, precision=precision.resolve(config.model.precision, device))
        )
    trainer = _Trainer(config, run, device, quiet)
    if not resume:
        run.create(config)
        if config.manifest is not None:
            shutil.copyfile(config.manifest, run.manifest_file)
    newest = checkpoint.latest(run.checkpoints)
    if resume and newest is not None:
        trainer.load(newest)
    else:
        cut_back(run.log_file, 0)
        cut_back(run.split_file, 0)
    trainer.run_all()
    return run


class _Trainer:
    def __init__(self, config: RunConfig, run: RunDir, device: torch.device, quiet: bool):
        self.config, self.run, self.device, self.quiet = config, run, device, quiet
        data = config.data
        source = open_source(
            data.spec,
            split=data.split,
            image_column=data.image_column,
            caption_column=data.caption_column,
            class_column=data.class_column,
            image_root=data.image_root,
        )
        if len(source) < config.optim.batch_size:
            raise InputError(
                f"optim.batch_size = {config.optim.batch_size}: the data has {len(source)} pairs; give at most that many"
            )
        manifest_path = config.manifest if not run.manifest_file.exists() else str(run.manifest_file)
        self.manifest = Manifest.load(manifest_path) if manifest_path is not None else None
        if self.manifest is not None:
            self.manifest.check(source)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads memory it has not written
        torch.manual_seed(config.seed)
        self.clip = build(config.model, seed=config.seed)
        self.clip.net.to(device, memory_format=torch.channels_last)
        self.reader = Reader(source, data, self.manifest, short_side=round(self.clip.image_size * 1.25))
        self.method = build_method(config, len(source), self.clip.dim)
        for part in getattr(self.method, "pools", {}).values():
            part.to(device)
        resolved = config.model.precision
        assert resolved != "auto"
        self.stepper = Stepper(self.clip, self.method, config, resolved, device)
        self.embedder = Embedder(self.clip, device, resolved)
        recipes = {name: objective.recipe for name, objective in self.method.objectives.items()} | {"clean": CLEAN}
        self.loader = Loader(self.reader, config.views, self.clip.image_size, self.clip.tokenize, recipes, config.seed)
        self.bad = BadPairs(run.bad_pairs_file, len(source), data.max_bad_share)
        self.epoch, self.next_batch = 1, 0
        self.steps: Counter[str] = Counter()
        self.sums: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.saved_at = time.monotonic()

    def run_all(self) -> None:
        config, pairs = self.config, len(self.reader)
        with Bar(f"{config.method:>8}", quiet=self.quiet) as bar:
            self.reader.cache_all(lambda done, total: bar.at(0.0, f"reading pictures {done}/{total}"))
            if self.epoch == 1 and self.next_batch == 0:
                append_line(
                    self.run.log_file,
                    {"event": "start", "method": config.method, "pairs": pairs, "epochs": config.epochs},
                )
            while self.epoch <= config.epochs:
                self._run_epoch(bar)
            if not _ended(self.run):
                append_line(self.run.log_file, {"event": "end", "seconds": self.seconds})
            bar.at(1.0, "done")

    def _run_epoch(self, bar: Bar) -> None:
        started = time.monotonic()
        if self.next_batch == 0:
            self.sums = {}
            self.bad.settle()
            self.method.begin_epoch(self.epoch, self._tools(bar))
        epoch = self.method.plan(self.epoch, self.bad.usable)
        pairs = sum(len(batch.uids) for batch in epoch.batches)
        read = 0
        for i, inputs in enumerate(self.loader.batches(self.epoch, epoch.batches, self.next_batch), self.next_batch):
            self.bad.add(inputs.bad)
            if len(inputs.uids) >= 2:
                self._step(inputs, epoch, i)
            read += len(inputs.uids)
            self.next_batch = i + 1
            spent = time.monotonic() - started
            done = (self.epoch - 1 + self.next_batch / len(epoch.batches)) / self.config.epochs
            bar.at(
                done,
                f"epoch {self.epoch}/{self.config.epochs} {epoch.phase}  {read / spent:,.0f} pairs/s{self._losses()}",
            )
            if (
                self.next_batch < len(epoch.batches)
                and time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes
            ):
                self.seconds, started = self.seconds + time.monotonic() - started, time.monotonic()
                self.save(f"epoch-{self.epoch:03d}-batch-{self.next_batch:06d}")
        spent = time.monotonic() - started
        self.seconds += spent
        means = {name: total / count for name, (total, count) in self.sums.items()}
        record = {"event": "epoch", "epoch": self.epoch, "phase": epoch.phase, "loss": means, "pairs": pairs}
        append_line(self.run.log_file, record | {"seconds": spent, "pairs_per_second": read / spent})
        name = f"epoch-{self.epoch:03d}"
        self.epoch, self.next_batch = self.epoch + 1, 0
        self.save(name)

    def _step(self, inputs: Any, epoch: Epoch, index: int) -> None:
        schedule, key = epoch.schedules[inputs.objective], f"{epoch.phase}/{inputs.objective}"
        rate = rate_at(
            self.steps[key], schedule.steps, schedule.peak, self.config.optim.warmup_share, schedule.constant
        )
        loss = float(self.stepper(inputs, rate))
        if not np.isfinite(loss):
            raise RunError(
                f"epoch {self.epoch}, batch {index}: the {inputs.objective} loss is {loss}; lower optim.rate, or see uids {inputs.uids[:5].tolist()}..."
            )
        self.steps[key] += 1
        total = self.sums.setdefault(inputs.objective, [0.0, 0])
        total[0], total[1] = total[0] + loss, total[1] + 1
        if index % LOG_EVERY == 0:
            scale = float(self.clip.net.logit_scale.detach().exp())
            record = {
                "event": "step",
                "epoch": self.epoch,
                "step": sum(self.steps.values()),
                "phase": epoch.phase,
                "objective": inputs.objective,
            }
            append_line(self.run.log_file, record | {"loss": loss, "rate": rate, "logit_scale": scale})

    def _losses(self) -> str:
        return "".join(f"  {name} {total / count:.3f}" for name, (total, count) in self.sums.items())

    # What the method may ask for at the start of an epoch.

    def _tools(self, bar: Bar) -> Tools:
        return Tools(
            usable=self.bad.usable,
            embed=lambda: self._embed_all(bar),
            hashes=self._hashes,
            record_split=self._record_split,
            note=lambda text: append_line(self.run.log_file, {"event": "note", "epoch": self.epoch, "text": text}),
        )

    def _embed_all(self, bar: Bar) -> Embeddings:
        n, dim, size = len(self.reader), self.clip.dim, 512
        image, text, cosine = torch.zeros(n, dim), torch.zeros(n, dim), torch.zeros(n)
        uids = np.flatnonzero(self.bad.usable)
        for start in range(0, len(uids), size):
            kept, pictures, captions = [], [], []
            for uid in uids[start : start + size].tolist():
                try:
                    picture, texts = self.reader.read(uid)
                except BadPair as reason:
                    self.bad.add([(uid, str(reason))])
                    continue
                kept.append(uid)
                pictures.append(picture)
                captions.append(texts if self.config.data.caption_choice == "mean" else texts[:1])
            if not kept:
                continue
            rows = torch.tensor(kept)
            image[rows] = self.embedder.images(pictures)
            flat = self.embedder.texts([c for texts in captions for c in texts])
            owner = torch.repeat_interleave(torch.arange(len(kept)), torch.tensor([len(texts) for texts in captions]))
            mean = (
                torch.zeros(len(kept), dim).index_add_(0, owner, flat)
                / torch.bincount(owner, minlength=len(kept))[:, None]
            )
            text[rows] = torch.nn.functional.normalize(mean, dim=1)
            cosine[rows] = (image[rows] * mean).sum(1)  # the mean similarity over the captions
            bar.at(
                (self.epoch - 1) / self.config.epochs,
                f"epoch {self.epoch}/{self.config.epochs} scoring {start + len(kept)}/{len(uids)}",
            )
        return Embeddings(image, text, cosine)

    def _hashes(self) -> np.ndarray:
        hashes = np.zeros(len(self.reader), np.uint64)
        uids = np.flatnonzero(self.bad.usable)
        for start in range(0, len(uids), 1024):
            part = uids[start : start + 1024]
            hashes[part] = perceptual_hashes([self.reader.read(uid)[0] for uid in part.tolist()])
        return hashes

    def _record_split(self, record: dict[str, Any], columns: dict[str, np.ndarray]) -> None:
        record |= {"planted_in_safe": None, "planted_total": None}
        if self.manifest is not None:
            safe = columns["uid"][columns["safe"]]
            by_attack = {}
            for name in {a["name"] for a in self.manifest.attacks}:
                planted = self.manifest.uids[self.manifest.attack_of(self.manifest.uids) == name]
                by_attack[name] = [int(np.isin(planted, safe).sum()), len(planted)]
            record["planted_in_safe"] = sum(inside for inside, _ in by_attack.values())
            record["planted_total"] = sum(total for _, total in by_attack.values())
            record["planted_by_attack"] = dict(sorted(by_attack.items()))
        write_scores(self.run.scores_file(self.epoch), columns)
        append_line(self.run.split_file, record)

    # State.

    def save(self, name: str) -> None:
        state = self.method.state_dict()
        tensors = {f"method.{key}": value for key, value in state.tensors.items()}
        tensors |= checkpoint.pack_optimizer(self.stepper.optimizer) | {"rng.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state()
        values = {
            "epoch": self.epoch,
            "next_batch": self.next_batch,
            "steps": dict(self.steps),
            "sums": self.sums,
            "seconds": self.seconds,
            "method": state.values,
            "bad": self.bad.state_dict(),
            "log_length": length_of(self.run.log_file),
            "split_length": length_of(self.run.split_file),
            "model": self.config.model.name,
            "data": self.reader.source.fingerprint,
        }
        checkpoint.save(self.run.checkpoints, name, self.clip.net, tensors, values, self.config.keep_checkpoints)
        self.saved_at = time.monotonic()

    def load(self, path: Path) -> None:
        tensors, values = checkpoint.load(path, self.clip.net)
        if values["data"] != self.reader.source.fingerprint:
            raise InputError(
                f"{path}: belongs to a run on other data than {self.config.data.spec} holds now; restore the data or start a new run"
            )
        checkpoint.unpack_optimizer(self.stepper.optimizer, tensors)
        self.method.load_state_dict(_method_state(tensors, values["method"]))
        torch.set_rng_state(tensors["rng.cpu"])
        if "rng.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["rng.cuda"])
        self.epoch, self.next_batch, self.seconds = values["epoch"], values["next_batch"], values["seconds"]
        self.steps, self.sums = Counter(values["steps"]), {k: list(v) for k, v in values["sums"].items()}
        self.bad.load_state_dict(values["bad"])
        cut_back(self.run.log_file, values["log_length"])
        cut_back(self.run.split_file, values["split_length"])


def _method_state(tensors: dict[str, Tensor], values: dict[str, Any]) -> Any:
    from safeclip.methods.base import State

    own = {key.removeprefix("method."): value for key, value in tensors.items() if key.startswith("method.")}
    return State(own, values)


def _ended(run: RunDir) -> bool:
    return any(line["event"] == "end" for line in run.log())
