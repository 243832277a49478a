"""Batches: the same in any process and from any start; a pair that cannot be read is reported and left out."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import signal
import weakref

import numpy as np
import pytest
import torch

from safeclip.config import DataConfig, ViewsConfig
from safeclip.data import loader as loader_module
from safeclip.data.decode import decode
from safeclip.data.image_views import CROP_DRAWS, clean_crop, random_crop
from safeclip.data.loader import CLEAN, Inputs, Loader, Recipe
from safeclip.data.pairs import BadPair, Pair
from safeclip.data.plan import Batch, plan
from safeclip.data.read import Reader
from safeclip.errors import Halted, InputError
from tests.data.made import jpeg

SIZE = 16
RECIPES = {"two": Recipe(2, augment=True, eda=True), "clean": CLEAN}


class Source:
    """Noise pictures with three captions each; the uids in `bad` cannot be read. Picklable, for worker processes."""

    name, fingerprint, class_names = "made:", "made", ()

    def __init__(self, pairs: int, bad: tuple[int, ...] = ()):
        self.pairs, self.bad = pairs, bad

    def __len__(self) -> int:
        return self.pairs

    def __getitem__(self, uid: int) -> Pair:
        if uid in self.bad:
            raise BadPair("gone")
        picture = np.random.default_rng(uid).integers(0, 256, (20 + uid % 5, 24, 3), np.uint8)
        return Pair(picture, self.captions(uid))

    def captions(self, uid: int) -> tuple[str, ...]:
        return tuple(f"pair {uid} caption number {i} of three" for i in range(3))

    def label(self, uid: int) -> int:
        return -1


def tokenize(captions) -> torch.Tensor:
    """Every caption's own row of numbers."""
    rows = [list(hashlib.sha256(caption.encode()).digest()[:6]) for caption in captions]
    return torch.tensor(rows, dtype=torch.long)


tokenize.read = str  # type: ignore[attr-defined]


class Wordy:
    """Plants a caption as long as a book on pair 3, and none on pair 4."""

    uids = np.array([3, 4])

    def __call__(self, uid: int, image: np.ndarray, captions: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        return image, ("x" * 10_000_000,) if uid == 3 else (" ",)


def test_a_planted_caption_is_cut_to_length_and_checked_as_the_datas_own_are() -> None:
    reader = Reader(Source(5), DataConfig(max_caption_chars=12), Wordy())
    assert reader.read(2)[1] == ("pair 2 capti",) * 3
    assert reader.read(3)[1] == ("x" * 12,)
    with pytest.raises(BadPair, match="no caption"):
        reader.read(4)


def loader(source: Source, workers: int = 0, seed: int = 0) -> Loader:
    reader = Reader(source, DataConfig(workers=workers))
    return Loader(reader, ViewsConfig(), SIZE, tokenize, RECIPES, seed)


def planned(pairs: int, batch_size: int = 7, epoch: int = 1) -> list[Batch]:
    uids = np.arange(pairs)
    return plan(0, epoch, {"two": uids[::2], "clean": uids[1::2]}, batch_size)


def same(a: Inputs, b: Inputs) -> bool:
    for field in dataclasses.fields(Inputs):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            x, y = torch.from_numpy(x), torch.from_numpy(y)
        if not (torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y):
            return False
    return True


def test_batches_follow_the_plan() -> None:
    batches = planned(40)
    made = list(loader(Source(40)).batches(1, batches))
    assert [(m.objective, m.uids.tolist()) for m in made] == [(b.objective, b.uids.tolist()) for b in batches]
    for inputs in made:
        views = RECIPES[inputs.objective].views
        assert inputs.images.shape == (views, len(inputs.uids), SIZE, SIZE, 3)
        assert inputs.images.dtype == torch.uint8
        assert inputs.tokens.shape == (views, len(inputs.uids), 6)
        assert (inputs.colour is None) == (inputs.objective == "clean")


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_make_the_same_batches_in_the_same_order(workers: int) -> None:
    batches = planned(40)
    alone = list(loader(Source(40, bad=(3,))).batches(2, batches))
    beside = list(loader(Source(40, bad=(3,)), workers).batches(2, batches))
    assert len(alone) == len(beside) == len(batches)
    assert all(same(a, b) for a, b in zip(alone, beside, strict=True))


@pytest.mark.parametrize("start", [0, 1, 3, 6])
def test_an_epoch_begun_late_gives_the_tail_of_the_whole(start: int) -> None:
    batches = planned(40)
    whole = list(loader(Source(40)).batches(1, batches))
    tail = list(loader(Source(40)).batches(1, batches, start))
    assert len(tail) == len(batches) - start
    assert all(same(a, b) for a, b in zip(whole[start:], tail, strict=True))


def test_loading_takes_nothing_from_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader(Source(20)).batches(1, planned(20)))
    assert torch.equal(torch.get_rng_state(), before), "a resumed epoch would draw a second time"


def test_a_pair_is_the_same_whatever_batch_it_is_in() -> None:
    make = loader(Source(40)).make
    alone, among = make(1, Batch(np.array([5]), "two")), make(1, Batch(np.array([9, 5, 2]), "two"))
    assert torch.equal(alone.images[:, 0], among.images[:, 1])
    assert torch.equal(alone.colour[:, 0], among.colour[:, 1])
    assert torch.equal(alone.tokens[:, 0], among.tokens[:, 1])


def test_views_differ_from_each_other_and_from_epoch_to_epoch() -> None:
    batch = Batch(np.arange(10), "two")
    first, second = (loader(Source(40)).make(epoch, batch) for epoch in (1, 2))
    other_seed = loader(Source(40), seed=1).make(1, batch)
    assert not torch.equal(first.images[0], first.images[1])
    assert not torch.equal(first.colour[0], first.colour[1])
    for other in (second, other_seed):
        assert not torch.equal(first.images, other.images)
        assert not torch.equal(first.tokens, other.tokens)


def test_a_clean_view_is_the_centre_crop_and_one_of_the_captions() -> None:
    source, batch = Source(40), Batch(np.arange(10), "clean")
    made = loader(source).make(1, batch)
    chosen = []
    for i, uid in enumerate(batch.uids.tolist()):
        assert np.array_equal(made.images[0, i].numpy(), clean_crop(source[uid].image, SIZE))
        options = tokenize(source.captions(uid))
        chosen.append([torch.equal(made.tokens[0, i], option) for option in options].index(True))
    assert len(set(chosen)) > 1, "one caption is drawn for each pair"


def test_an_augmented_view_is_the_crop_of_its_own_draws() -> None:
    from safeclip.data.draws import uniforms

    source, uids = Source(40), np.arange(6)
    made = loader(source, seed=4).make(3, Batch(uids, "two"))
    for view in (0, 1):
        draws = uniforms(4, 3, uids, 10 + view, CROP_DRAWS)
        for i, uid in enumerate(uids.tolist()):
            wanted = random_crop(source[uid].image, SIZE, ViewsConfig().crop_scale, draws[i])
            assert np.array_equal(made.images[view, i].numpy(), wanted)


def test_an_unreadable_pair_is_reported_and_left_out_and_the_others_stay_as_they_were() -> None:
    batch = Batch(np.array([4, 7, 11]), "two")
    whole, broken = loader(Source(40)).make(1, batch), loader(Source(40, bad=(7,))).make(1, batch)
    assert broken.bad == [(7, "gone")]
    assert broken.uids.tolist() == [4, 11]
    assert torch.equal(broken.images, whole.images[:, [0, 2]])
    assert torch.equal(broken.tokens, whole.tokens[:, [0, 2]])
    assert whole.bad == []


def test_a_batch_of_which_nothing_can_be_read_is_empty_and_says_so() -> None:
    made = loader(Source(40, bad=(1, 3))).make(1, Batch(np.array([1, 3]), "two"))
    assert len(made.uids) == 0
    assert [uid for uid, _ in made.bad] == [1, 3]


def test_one_picture_is_held_at_a_time_since_some_are_large_at_any_scale() -> None:
    """As a picture of a million by one pixels is."""
    held: list[weakref.ref] = []
    most = []

    class Watched(Reader):
        def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
            picture, captions = super().read(uid)
            held.append(weakref.ref(picture))
            most.append(sum(each() is not None for each in held))
            return picture, captions

    reader = Watched(Source(40), DataConfig(cache_mib=0))
    loader = Loader(reader, ViewsConfig(), SIZE, tokenize, RECIPES, seed=3)
    loader.make(1, Batch(np.arange(40), "two"))
    assert (len(most), max(most)) == (40, 2), "the next, while the last is let go"


def test_encoded_pictures_are_decoded_once_for_all_views() -> None:
    class Files(Source):
        read = 0

        def __getitem__(self, uid: int) -> Pair:
            Files.read += 1
            return Pair(jpeg(uid), self.captions(uid))

    made = loader(Files(5)).make(1, Batch(np.arange(5), "two"))
    assert Files.read == 5
    level = decode(jpeg(3), max_pixels=100)[0, 0, 0]
    assert (made.images[:, 3].int() - int(level)).abs().max() <= 1, "a flat picture stays flat in every crop"


class Deadly(Source):
    """Reading uid 20 sends the worker a signal: the first time only, or always. folder: remembers each such reading."""

    def __init__(self, folder, number: int, always: bool = False):
        super().__init__(40)
        self.mark, self.number, self.always, self.training = folder / "read", number, always, os.getpid()

    def __getitem__(self, uid: int) -> Pair:
        if uid == 20 and os.getpid() != self.training:
            first = not self.mark.exists()
            with self.mark.open("a") as mark:
                mark.write("x")
            if first or self.always:
                os.kill(os.getpid(), self.number)
        return super().__getitem__(uid)


@pytest.mark.parametrize(("number", "readings"), [(signal.SIGKILL, 2), (signal.SIGTERM, 1)])
def test_a_worker_that_is_killed_costs_no_batch_and_one_told_to_end_stays(number: int, readings: int, tmp_path) -> None:
    batches = planned(40)
    alone = list(loader(Source(40)).batches(1, batches))
    source = Deadly(tmp_path, number)
    beside = list(loader(source, 1).batches(1, batches))
    assert source.mark.read_text() == "x" * readings
    assert len(alone) == len(beside) == len(batches)
    assert all(same(a, b) for a, b in zip(alone, beside, strict=True))


def test_a_worker_that_is_told_to_end_does_so_in_the_end(monkeypatch) -> None:
    """A process that exits waits for its workers, and must not do so for ever."""
    monkeypatch.setattr("safeclip.data.loader.GRACE", 1)
    batches = loader(Source(40), 1).batches(1, planned(40))
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(30)
    assert not worker.is_alive()


def test_workers_that_are_killed_over_and_over_halt_the_run_in_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("safeclip.data.loader.DEATHS", 1)
    made = []
    with pytest.raises(Halted, match=r"workers were killed 1 times in a row.*lower data\.workers = 1") as error:
        made.extend(loader(Deadly(tmp_path, signal.SIGKILL, always=True), 1).batches(1, planned(40)))
    assert "\n" not in str(error.value)
    assert f"batch {len(made)}:" in str(error.value)


class Refusing(Source):
    def __getitem__(self, uid: int) -> Pair:
        raise InputError(f"{uid} is not what it was")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_line_for_the_reader_stays_one_line_across_processes(workers: int) -> None:
    with pytest.raises(InputError, match=r"^\d+ is not what it was$"):
        list(loader(Refusing(40), workers).batches(1, planned(40)))


def test_augmented_captions_show_nothing_that_the_tokenizer_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else deleting words would bring others into the context, which no veto has seen."""
    given: list[str] = []

    def heard(text: str, *_: object) -> str:
        given.append(text)
        return text

    made = loader(Source(12))
    made.tokenize.read = lambda text: text[:6]  # type: ignore[attr-defined]
    monkeypatch.setattr(loader_module, "eda", heard)
    try:
        list(made.batches(1, [Batch(np.arange(4), "two")]))
    finally:
        made.tokenize.read = str  # type: ignore[attr-defined]
    assert len(given) == 2 * 4
    assert {len(text) for text in given} == {6}
