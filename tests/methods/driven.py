"""A method driven through all its epochs without towers: embeddings and hashes are made up, batches are observed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from safeclip.config import RunConfig, override
from safeclip.methods.base import Embeddings, Epoch, Method, Tools
from safeclip.signals.glance import Glance
from safeclip.signals.texture import textures


def config(**changes: Any) -> RunConfig:
    """The defaults with fast growth, and no warm-up beyond what is asked for."""
    return override(RunConfig(), {"safeclip.warmup_epochs": 0, "safeclip.growth": 0.1, **changes})


class Data:
    """Unit embeddings of `pairs` pairs whose cosines spread from low to high, and hashes.

    copied: so many pairs, the last ones, show one and the same picture.
    """

    dim = 8

    def __init__(self, pairs: int, copied: int = 0, seed: int = 0):
        random = torch.Generator().manual_seed(seed)
        self.image = F.normalize(torch.randn(pairs, self.dim, generator=random), dim=1)
        other = F.normalize(torch.randn(pairs, self.dim, generator=random), dim=1)
        share = torch.linspace(-0.5, 1, pairs)[torch.randperm(pairs, generator=random), None]
        self.text = F.normalize(share * self.image + (1 - share.abs()) * other, dim=1)
        self.hashes = np.random.default_rng(seed).integers(1, 2**63, pairs, np.uint64)
        if copied:
            self.hashes[-copied:] = self.hashes[-1]
        self.thumbnails = np.random.default_rng(seed).integers(0, 256, (pairs, 32, 32, 3), np.uint8)
        words = np.random.default_rng(seed).integers(0, 299, (pairs, 6), np.uint16).astype(np.uint64)
        self.words = np.where(words, words, 65_535)  # 0 is no word
        self.usable = np.ones(pairs, bool)
        self.glances = 0
        self.records: list[dict[str, Any]] = []
        self.columns: list[dict[str, np.ndarray]] = []
        self.notes: list[str] = []
        self.restarts = 0

    def embeddings(self) -> Embeddings:
        return Embeddings(self.image, self.text, (self.image * self.text).sum(1))

    def tools(self) -> Tools:
        return Tools(
            usable=self.usable,
            device=torch.device("cpu"),
            embed=self._embed,
            hashes=lambda: self.hashes,
            glance=self._glance,
            decide=lambda ask: ask(),
            restart=self._restart,
            record_split=self._record,
            note=self.notes.append,
            save=self._save,
        )

    def _embed(self, vectors: bool) -> Embeddings:
        found = self.embeddings()
        return found if vectors else Embeddings(found.image[:0], found.text[:0], found.cosine)

    def _glance(self, uids: np.ndarray) -> Glance:
        self.glances += 1
        return Glance(self.hashes[uids], self.thumbnails[uids], textures(self.thumbnails[uids]), self.words[uids])

    def _save(self) -> None:
        """None is due."""

    def _restart(self) -> None:
        self.restarts += 1

    def _record(self, record: dict[str, Any], columns: dict[str, np.ndarray]) -> None:
        self.records.append(record)
        self.columns.append(columns)


def drive(method: Method, cfg: RunConfig, data: Data, first: int = 1, last: int | None = None) -> Iterator[Epoch]:
    """Begin, plan and observe the epochs `first`..`last` as the loop does; yields each epoch before its batches."""
    for number in range(first, (last or cfg.epochs) + 1):
        method.begin_epoch(number, data.tools())
        epoch = method.plan(number, data.usable)
        yield epoch
        for batch in epoch.batches:
            views = len(method.objectives[batch.objective].grads)
            rows = torch.from_numpy(batch.uids)
            method.observe(batch.objective, batch.uids, [data.image[rows]] * views, [data.text[rows]] * views)
