"""From planned uids to tensors: one decode per pair, then as many views of it as the objective wants.

Crops and captions are made here, on the CPU; flips and colours later on the device, from the draws that travel with
the batch. Every draw is a hash of (seed, epoch, uid, view): a batch is the same in any process and after any resume, so
the batches of a worker that was killed are made again by another.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from safeclip.config import ViewsConfig
from safeclip.data.ahead import Ahead
from safeclip.data.draws import uniforms
from safeclip.data.image_views import COLOUR_DRAWS, CROP_DRAWS, clean_crop, random_crop
from safeclip.data.pairs import BadPair, Shards
from safeclip.data.plan import Batch
from safeclip.data.read import Reader
from safeclip.data.shard_order import in_shard_order, window_of
from safeclip.data.text_views import TEXT_DRAWS, eda
from safeclip.errors import Halted, InputError, RunError

_CAPTION_STREAM, _VIEW_STREAM = 1, 10
_MADE_AHEAD = 2
"""Batches that a worker makes before they are asked for."""
GRACE = 10
"""Seconds that a worker goes on after it was told to end."""
DEATHS = 3
"""Times in a row, without a batch in between, that workers may be killed before the run halts."""


@dataclass(frozen=True)
class Recipe:
    """What an objective's batches are made of. views: of each pair. augment, eda: augmented pictures, and captions."""

    views: int
    augment: bool
    eda: bool


CLEAN = Recipe(views=1, augment=False, eda=False)


@dataclass
class Inputs:
    """One batch, V views of B pairs.

    images: uint8 (V, B, S, S, 3). colour: float32 (V, B, K) draws, None for clean pictures.
    tokens: int64 (V, B, T), T as many as the longest caption needs.
    bad: (uid, reason) of planned pairs that could not be read and are not in the batch.
    """

    uids: np.ndarray
    objective: str
    images: Tensor
    colour: Tensor | None
    tokens: Tensor
    bad: list[tuple[int, str]] = field(default_factory=list)

    def pin_memory(self) -> Inputs:
        """Into memory that a CUDA device copies from by itself; DataLoader asks for it."""
        return self.each(lambda part: part.pin_memory())

    def each(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """With its tensors changed."""
        paint = None if self.colour is None else change(self.colour)
        return replace(self, images=change(self.images), colour=paint, tokens=change(self.tokens))


class Tokenize(Protocol):
    """A model's tokenizer (model/tokenizer.py)."""

    def __call__(self, captions: Sequence[str]) -> Tensor: ...

    def read(self, caption: str) -> str: ...


class Loader:
    """Batches of an epoch's plan.

    recipes: objective -> Recipe. size: side of a view in px. tokenize: captions -> int64 (B, context), and what of a
    caption it reads: of the rest no view may show anything, for the vetoes do not see it.
    cut: drops columns of int64 (V, B, context) that the text tower need not see; None keeps all.
    """

    def __init__(
        self,
        reader: Reader,
        views: ViewsConfig,
        size: int,
        tokenize: Tokenize,
        recipes: dict[str, Recipe],
        seed: int,
        cut: Callable[[Tensor], Tensor] | None = None,
    ):
        self.reader, self.views, self.size, self.recipes, self.seed = reader, views, size, recipes, seed
        self.tokenize, self.cut = tokenize, cut

    def ordered(self, epoch: int, plan: list[Batch]) -> list[Batch]:
        """The plan as the data is best read: in the order of its shards, where a window of them is asked for."""
        source = self.reader.source
        window = window_of(source, self.reader.config.shard_window)
        if window and isinstance(source, Shards):
            return in_shard_order(plan, source.ends_S, window, self.seed, epoch)
        return plan

    def batches(self, epoch: int, plan: list[Batch], start: int = 0) -> Iterator[Inputs]:
        """The plan's batches from the `start`-th on. With workers, they are made ahead in other processes. Raises what
        the reader raises, and Halted where workers are killed over and over.
        """
        deaths = 0
        while start < len(plan):
            try:
                for made in self._ahead(epoch, plan, start):
                    if isinstance(made, Exception):
                        raise made
                    yield made
                    start, deaths = start + 1, 0
            except (RuntimeError, OSError, EOFError) as error:
                if self.reader.config.workers == 0 or not _worker_died(error):
                    raise
                deaths += 1
            if deaths == DEATHS:
                raise Halted(
                    f"epoch {epoch}, batch {start}: data workers were killed {deaths} times in a row, often for want "
                    f"of memory or of room in /dev/shm; lower data.workers = {self.reader.config.workers}"
                )

    def _ahead(self, epoch: int, plan: list[Batch], start: int) -> Iterator[Inputs | Exception]:
        before = signal.getsignal(signal.SIGCHLD)
        workers = min(self.reader.config.workers, len(plan) - start)
        batches = iter(
            DataLoader(
                _Planned(self, epoch, plan),
                batch_size=None,
                sampler=range(start, len(plan)),
                num_workers=workers,
                prefetch_factor=_MADE_AHEAD if workers else None,
                pin_memory=torch.cuda.is_available(),
                generator=torch.Generator(),  # its own: a resumed epoch must not draw from the global one a second time
                worker_init_fn=_leave_signals_to_training,
            )
        )
        if threading.current_thread() is threading.main_thread():
            # torch would raise in the midst of a step when a worker dies; without its handler, waiting for a batch does
            signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)
        with Ahead(
            self.reader.source, plan, start, _MADE_AHEAD * workers
        ) as ahead:  # its thread starts after the workers are forked
            for i, made in enumerate(batches, start):
                ahead.at(i)
                yield made

    def make(self, epoch: int, batch: Batch) -> Inputs:
        recipe, planned = self.recipes[batch.objective], batch.uids
        draws = [
            uniforms(self.seed, epoch, planned, _VIEW_STREAM + v, CROP_DRAWS + TEXT_DRAWS + COLOUR_DRAWS)
            for v in range(recipe.views)
        ]
        images = np.empty((recipe.views, len(planned), self.size, self.size, 3), np.uint8)
        rows: list[int] = []
        captions, bad = [], []
        for row, uid in enumerate(planned.tolist()):
            try:
                picture, found = self.reader.read(uid)
            except BadPair as reason:
                bad.append((uid, str(reason)))
                continue
            for v in range(recipe.views):  # at once, so that one picture is held at a time, however large
                images[v, len(rows)] = self._crop(picture, recipe, draws[v][row, :CROP_DRAWS])
            rows.append(row)
            captions.append(found)
        uids = planned[rows]
        texts = drawn_captions(captions, uids, self.seed, epoch)
        colour, tokens = [], []
        for drawn_BK in (of_view[rows] for of_view in draws):
            words, paint = drawn_BK[:, CROP_DRAWS : CROP_DRAWS + TEXT_DRAWS], drawn_BK[:, CROP_DRAWS + TEXT_DRAWS :]
            seen, strength = texts, self.views.text_strength
            if recipe.eda:
                seen = [eda(self.tokenize.read(t), w, strength) for t, w in zip(texts, words, strict=True)]
            tokens.append(self.tokenize(seen) if seen else torch.empty(0, 1, dtype=torch.long))
            colour.append(paint.astype(np.float32))
        painted = torch.from_numpy(np.stack(colour)) if recipe.augment else None
        whole = torch.stack(tokens)
        shown = whole if self.cut is None else self.cut(whole)
        cropped = torch.from_numpy(np.ascontiguousarray(images[:, : len(rows)]))
        return Inputs(uids, batch.objective, cropped, painted, shown, bad)

    def _crop(self, picture: np.ndarray, recipe: Recipe, draws: np.ndarray) -> np.ndarray:
        if recipe.augment:
            return random_crop(picture, self.size, self.views.crop_scale, draws)
        return clean_crop(picture, self.size)


def drawn_captions(captions: Sequence[Sequence[str]], uids: np.ndarray, seed: int, epoch: int) -> list[str]:
    """Of each pair the caption that this epoch trains on. captions: of each of the uids."""
    which = uniforms(seed, epoch, uids, _CAPTION_STREAM, 1)[:, 0]
    return [some[int(u * len(some))] for some, u in zip(captions, which.tolist(), strict=True)]


def _worker_died(error: Exception) -> bool:
    """In torch's own words, or by a connection that it left half used; not an error that it raised and handed over."""
    if isinstance(error, RuntimeError):
        return str(error).startswith("DataLoader worker")
    gone = isinstance(error, (ConnectionError, EOFError, FileNotFoundError))
    return gone and "in DataLoader worker process" not in str(error)


def _leave_signals_to_training(worker: int) -> None:
    """A job that is told to end tells all its processes, and the batch that training waits for is still wanted. Not for
    ever: a process that exits ends its workers by the same signal, and waits for them."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(GRACE))


class _Planned(Dataset[Inputs | Exception]):
    def __init__(self, loader: Loader, epoch: int, plan: list[Batch]):
        self.loader, self.epoch, self.plan = loader, epoch, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Inputs | Exception:
        """Errors that are one line come back as values: raised in a worker, torch would make them a traceback."""
        try:
            return self.loader.make(self.epoch, self.plan[index])
        except (InputError, RunError) as error:
            return error
