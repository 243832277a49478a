"""Published image sets: what torchvision sees, read without it."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from safeclip.data.decode import decode
from safeclip.data.pairs import NoSuchSplit, Source
from safeclip.data.sources import open_source, torchvision_sets
from safeclip.data.sources.torchvision_sets import SETS, fetch
from safeclip.data.torchvision_import import import_torchvision
from safeclip.errors import InputError, RunError
from tests.data.made import jpeg, write
from tests.data.tiny_sets import MAKE

DATASETS = import_torchvision().datasets
every = pytest.mark.parametrize("name", list(MAKE))


def opened(name: str, root: Path, split: str) -> Source:
    return open_source(f"torchvision:{name}:{root}", split=split)


def seen(source: Source) -> list[tuple[str, str]]:
    """Sum of the decoded pixels, and class, of each picture."""
    found = []
    for uid in range(len(source)):
        pixels = decode(source[uid].image, max_pixels=10**6)
        found.append((summed(pixels), source.class_names[source.label(uid)]))
    return found


def summed(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:12]


def spoken(name: Any) -> str:
    return (name[0] if isinstance(name, tuple) else name).replace("_", " ")


def by_torchvision(name: str, root: Path, part: str) -> list[tuple[str, str]]:
    """The same of torchvision's own class; its checks of the published files' sums are left out."""
    kind = getattr(DATASETS, name)
    parts = {
        "CIFAR10": {"train": part == "train"},
        "CIFAR100": {"train": part == "train"},
        "Caltech101": {},
        "EuroSAT": {},
    }
    skipped = [
        mock.patch(f"torchvision.datasets.{file}.check_integrity", return_value=True)
        for file in ("cifar", "flowers102", "stl10", "svhn")
    ]
    with contextlib.ExitStack() as stack:
        for patch in skipped:
            stack.enter_context(patch)
        data = kind(root, **parts.get(name, {"split": part}))
    if name == "SVHN":
        names = [str(digit) for digit in range(10)]
    elif name == "Caltech101":
        names = data.categories
    else:
        names = data.classes
    found = []
    for image, label in (data[i] for i in range(len(data))):
        found.append((summed(np.asarray(image.convert("RGB"))), spoken(names[label]).rstrip("?")))
    return found


@pytest.mark.parametrize("split", ["trainval", "val", "test"])
@pytest.mark.parametrize("name", [n for n in MAKE if n not in ("ImageNet", "EuroSAT", "Caltech101")])
def test_pictures_and_classes_are_those_that_torchvision_sees(name: str, split: str, tmp_path: Path) -> None:
    MAKE[name](tmp_path)
    about = SETS[name.lower()]
    ours = seen(opened(name, tmp_path, split))
    assert ours
    if split == "test":
        assert ours == by_torchvision(name, tmp_path, "test")
    elif split == "val" and about.val:
        assert ours == by_torchvision(name, tmp_path, "val")
    elif split == "trainval":
        theirs = by_torchvision(name, tmp_path, about.train)
        assert ours == theirs + (by_torchvision(name, tmp_path, "val") if about.val else [])


@pytest.mark.parametrize("name", ["EuroSAT", "Caltech101"])
def test_a_set_without_parts_is_the_one_that_torchvision_sees(name: str, tmp_path: Path) -> None:
    MAKE[name](tmp_path)
    theirs = [(pixels, torchvision_sets.image_sets.spaced(kind)) for pixels, kind in by_torchvision(name, tmp_path, "")]
    assert seen(opened(name, tmp_path, "all")) == theirs


@every
def test_splits_are_disjoint_whole_and_share_their_classes(name: str, tmp_path: Path) -> None:
    MAKE[name](tmp_path)
    parts = {}
    for split in ("train", "val", "test", "trainval", "all"):
        if (name, split) != ("ImageNet", "val"):
            parts[split] = opened(name, tmp_path, split)
    held = len(parts["val"]) if "val" in parts else 0
    assert len(parts["train"]) + held == len(parts["trainval"])
    assert len(parts["trainval"]) + len(parts["test"]) == len(parts["all"])
    assert len({part.class_names for part in parts.values()}) == 1
    assert list(parts["all"].class_names) == sorted(parts["all"].class_names)
    assert len({part.fingerprint for part in parts.values()}) == len(parts)
    sums = Counter(seen(parts["train"])) + (Counter(seen(parts["val"])) if "val" in parts else Counter())
    assert sums == Counter(seen(parts["trainval"]))
    assert Counter(seen(parts["trainval"])) + Counter(seen(parts["test"])) == Counter(seen(parts["all"]))


def test_a_set_without_val_gives_a_seeded_tenth_of_each_class_of_its_training_pictures(tmp_path: Path) -> None:
    MAKE["Food101"](tmp_path)
    val = opened("food101", tmp_path, "val")
    assert Counter(kind for _, kind in seen(val)) == {"apple pie": 1, "waffles": 1}
    assert seen(val) == seen(opened("food101", tmp_path, "val"))


def test_caltech101_takes_30_pictures_a_class_for_training_and_leaves_one_at_least(tmp_path: Path) -> None:
    MAKE["Caltech101"](tmp_path)
    count = {s: Counter(k for _, k in seen(opened("Caltech101", tmp_path, s))) for s in ("trainval", "test", "val")}
    assert count["trainval"] == {"Faces easy": 30, "wild cat": 30}
    assert count["test"] == {"Faces easy": 10, "wild cat": 1}
    assert count["val"] == {"Faces easy": 3, "wild cat": 3}


def test_imagenet_has_its_published_pictures_as_test_and_readable_names(tmp_path: Path) -> None:
    MAKE["ImageNet"](tmp_path)
    test = opened("ImageNet", tmp_path, "test")
    assert test.class_names == ("crane bird", "tench")
    assert len(test) == 4
    with pytest.raises(NoSuchSplit, match=r"split = 'val': ImageNet's own val is `test` here"):
        opened("ImageNet", tmp_path, "val")
    write(tmp_path / "val/n99999999/a.JPEG", jpeg(0))
    with pytest.raises(InputError, match="'n99999999' is none of ImageNet's 1,000 class folders"):
        opened("ImageNet", tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("CIFAR100", ("aquarium fish", "bear")),
        ("OxfordIIITPet", ("Abyssinian", "American Bulldog")),
        ("FGVCAircraft", ("707-320", "F-16A/B")),
        ("StanfordCars", ("AM General Hummer SUV 2000", "Acura RL Sedan 2012")),
        ("EuroSAT", ("Annual Crop", "Sea Lake")),
        ("DTD", ("banded", "polka-dotted")),
    ],
)
def test_class_names_can_be_read_aloud(name: str, names: tuple[str, ...], tmp_path: Path) -> None:
    MAKE[name](tmp_path)
    source = opened(name, tmp_path, "train")
    assert source.class_names == names
    assert source.captions(0) == (f"a photo of a {names[source.label(0)]}",)


def test_flowers_have_all_102_names_and_none_with_a_question_mark(tmp_path: Path) -> None:
    MAKE["Flowers102"](tmp_path)
    names = opened("flowers102", tmp_path, "train").class_names
    assert len(names) == 102
    assert "pink-yellow dahlia" in names
    assert not any("?" in name for name in names)


@every
def test_a_set_that_is_not_there_is_one_line_that_says_where_and_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        opened(name, tmp_path, "test")
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    about = SETS[name.lower()]
    assert (about.source or "`safeclip evaluate ... --download` fetches it there") in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("torchvision:cifar11:x", "no such set; give torchvision:NAME:ROOT with one of CIFAR10, CIFAR100, Food101"),
        ("torchvision:cifar10", "names no folder; give torchvision's root, as in torchvision:cifar10:data/"),
        ("torchvision:", "no such set|names no path"),
    ],
)
def test_a_spec_that_names_no_set_or_no_folder_is_refused(spec: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_source(spec)


def test_a_split_that_is_none_is_refused(tmp_path: Path) -> None:
    MAKE["DTD"](tmp_path)
    with pytest.raises(
        NoSuchSplit, match="split = 'dev': no such split in DTD; there are train, val, test, trainval, all"
    ):
        opened("DTD", tmp_path, "dev")


@pytest.mark.parametrize("name", ["CIFAR10", "DTD"])
def test_sources_go_to_worker_processes(name: str, tmp_path: Path) -> None:
    MAKE[name](tmp_path)
    source = opened(name, tmp_path, "test")
    assert seen(pickle.loads(pickle.dumps(source))) == seen(source)
    assert isinstance(source, Source)


def test_fetching_asks_torchvision_and_never_its_class_that_unpickles(monkeypatch: Any, capsys: Any) -> None:
    calls = []

    def fetched(*where: object, **given: object) -> None:
        print("chatter")
        calls.append((where, given))

    fakes = SimpleNamespace(
        utils=SimpleNamespace(download_and_extract_archive=fetched),
        CIFAR10=SimpleNamespace(url="http://x", filename="f", tgz_md5="m"),  # calling it would fail
        SVHN=fetched,
        DTD=fetched,
    )
    monkeypatch.setattr(torchvision_sets, "import_torchvision", lambda: SimpleNamespace(datasets=fakes))
    for name in ("cifar10", "svhn", "dtd"):
        fetch(f"torchvision:{name}:/data")
    assert calls == [
        (("http://x", "/data"), {"filename": "f", "md5": "m"}),
        (("/data",), {"download": True, "split": "train"}),
        (("/data",), {"download": True, "split": "test"}),
        (("/data",), {"download": True}),
    ]
    assert capsys.readouterr().out == "", "what torchvision prints would spoil --json"


def test_what_cannot_be_fetched_is_said(monkeypatch: Any) -> None:
    with pytest.raises(InputError, match="StanfordCars cannot be fetched: its address is gone"):
        fetch("torchvision:stanfordcars:/data")
    with pytest.raises(InputError, match="fetches sets named as torchvision:NAME:ROOT, not 'emoji:'"):
        fetch("emoji:")
    broken = SimpleNamespace(DTD=mock.Mock(side_effect=OSError("no\nnetwork")))
    monkeypatch.setattr(torchvision_sets, "import_torchvision", lambda: SimpleNamespace(datasets=broken))
    with pytest.raises(RunError, match=r"torchvision:dtd:/data: could not be fetched \(no network\)"):
        fetch("torchvision:dtd:/data")


@every
def test_the_docs_tell_of_every_set(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "evaluation.md"
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in row for row in rows)
    assert {about.torchvision for about in SETS.values()} == set(MAKE)
