"""Class-labelled image sets as torchvision.datasets keeps them: `torchvision:NAME:ROOT`, NAME torchvision's own name in
any case (`torchvision:FGVCAircraft:data/`), ROOT the folder that was its `root`. Captions "a photo of a <class>".

Splits are train, val and test, `trainval` (what is not test) and `all`. Where a set has no val, a seeded tenth of the
training pictures of each class is val; where it has no test either, `train_per_class` pictures of each class are drawn
for training, and the rest is test. What must stay true: nothing is fetched but by `fetch`, which `evaluate --download`
calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safeclip.data.held_out import set_aside, val_count
from safeclip.data.pairs import NoSuchSplit, Pair
from safeclip.data.sources import image_arrays, image_sets
from safeclip.data.sources.folder import TEMPLATE
from safeclip.data.sources.image_files import ImageFiles
from safeclip.data.sources.image_sets import Part, class_folders
from safeclip.data.sources.labelled import Codes, Labelled, Texts, fingerprint
from safeclip.data.torchvision_import import import_torchvision
from safeclip.errors import InputError, RunError, reason

SPLITS = ("train", "val", "test", "trainval", "all")


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """One published set.

    torchvision: name of its class there. folder: where it lies below ROOT. signs: it is there if one of these is, in
    that folder. read: (folder, part) -> Part. train, val, test: the set's own parts that serve as such; None where it
    has none. train_per_class: training pictures of each class where it has no test. fetched: arguments of the
    constructions of torchvision's class that fetch it; () where it cannot be fetched, and `source` says where it is.
    """

    torchvision: str
    folder: str
    read: Callable[[str, str], Part]
    signs: Sequence[str] = (".",)
    train: str = "train"
    val: str | None = None
    test: str | None = "test"
    train_per_class: int = 0
    fetched: Sequence[dict[str, Any]] = ({},)
    source: str = ""


_SETS = (
    ImageSet(torchvision="CIFAR10", folder="cifar-10-batches-py", read=image_arrays.cifar10),
    ImageSet(torchvision="CIFAR100", folder="cifar-100-python", read=image_arrays.cifar100),
    ImageSet(torchvision="Food101", folder="food-101", read=image_sets.food101),
    ImageSet(torchvision="DTD", folder="dtd/dtd", read=image_sets.dtd, val="val"),
    ImageSet(torchvision="FGVCAircraft", folder="fgvc-aircraft-2013b", read=image_sets.aircraft, val="val"),
    ImageSet(torchvision="Flowers102", folder="flowers-102", read=image_sets.flowers102, val="val"),
    ImageSet(
        torchvision="Caltech101",
        folder="caltech101/101_ObjectCategories",
        read=class_folders(".", left_out="BACKGROUND_Google"),
        train=".",
        test=None,
        train_per_class=30,
    ),
    ImageSet(torchvision="OxfordIIITPet", folder="oxford-iiit-pet", read=image_sets.pets, train="trainval"),
    ImageSet(
        torchvision="StanfordCars",
        folder="stanford_cars",
        read=image_sets.cars,
        fetched=(),
        source="its address is gone; lay copies out as torchvision's StanfordCars says",
    ),
    ImageSet(
        torchvision="ImageNet",
        folder="",
        signs=("train", "val"),
        read=class_folders("train", "val", name_of=image_sets.imagenet_name),
        test="val",
        fetched=(),
        source="image-net.org gives it to members; it lies as train/n01440764/*.JPEG and val/n01440764/*.JPEG",
    ),
    ImageSet(torchvision="STL10", folder="stl10_binary", read=image_arrays.stl10),
    ImageSet(
        torchvision="SVHN",
        folder="",
        signs=("train_32x32.mat", "test_32x32.mat"),
        read=image_arrays.svhn,
        fetched=({"split": "train"}, {"split": "test"}),
    ),
    ImageSet(
        torchvision="RenderedSST2",
        folder="rendered-sst2",
        read=class_folders("train", "valid", "test"),
        val="valid",
    ),
    ImageSet(
        torchvision="EuroSAT",
        folder="eurosat/2750",
        read=class_folders(".", name_of=image_sets.spaced),
        train=".",
        test=None,
        train_per_class=1000,
    ),
)
SETS = {about.torchvision.lower(): about for about in _SETS}


class TorchvisionSource(Labelled):
    """Pictures of one set: a Source (safeclip.data.pairs). about: a row of SETS. root: torchvision's `root`."""

    captions_from_classes = True

    def __init__(self, name: str, about: ImageSet, root: str, *, split: str = "train", inside: str | None = None):
        self._folder = os.path.realpath(os.path.join(os.path.expanduser(root), about.folder))
        if not any(os.path.exists(os.path.join(self._folder, sign)) for sign in about.signs):
            raise _missing(name, about, root)
        part = _split(about, self._folder, split)
        codes = Codes()
        for kind in part.names:
            codes.add(kind, times=0)
        for kind in part.classes:
            codes.add(kind)
        classes = codes.classes()
        pixels = isinstance(part.pictures, np.ndarray)
        self._pixels_NHWC: np.ndarray | None = part.pictures if isinstance(part.pictures, np.ndarray) else None
        self._paths = Texts([] if pixels else [[path] for path in part.pictures], errors="surrogateescape")
        content = hashlib.sha256(
            classes[1].tobytes() + ("" if pixels else "\n".join(part.pictures)).encode(errors="surrogateescape")
        )
        mark = fingerprint("torchvision", [], split, len(part.classes), f"{about.torchvision} {content.hexdigest()}")
        super().__init__(name, mark, len(part.classes), classes)
        self._files = ImageFiles(inside or self._folder)

    def __getitem__(self, uid: int) -> Pair:
        uid = self._checked(uid)
        if self._pixels_NHWC is not None:
            return Pair(np.ascontiguousarray(self._pixels_NHWC[uid]), self.captions(uid))
        return Pair(self._files.read(os.path.join(self._folder, self._paths[uid][0])), self.captions(uid))

    def captions(self, uid: int) -> tuple[str, ...]:
        return (TEMPLATE.format(self.class_names[self.label(uid)]),)


def open_torchvision(
    name: str, path: str, *, split: str = "train", image_root: str | None = None, **_: object
) -> TorchvisionSource:
    about, root = _told(name, path)
    return TorchvisionSource(name, about, root, split=split, inside=image_root)


def fetch(spec: str) -> None:
    """Download the set that a spec names into its ROOT, through torchvision. Raises InputError, RunError."""
    kind, _, path = spec.partition(":")
    if kind != "torchvision":
        raise InputError(f"--download: fetches sets named as torchvision:NAME:ROOT, not {spec!r}; leave it out")
    about, root = _told(spec, path)
    if not about.fetched:
        raise InputError(f"--download: {about.torchvision} cannot be fetched: {about.source}")
    datasets = import_torchvision().datasets
    kind_of_set, folder = getattr(datasets, about.torchvision), os.path.expanduser(root)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if about.torchvision.startswith("CIFAR"):  # its class would unpickle what it fetched
                datasets.utils.download_and_extract_archive(
                    kind_of_set.url, folder, filename=kind_of_set.filename, md5=kind_of_set.tgz_md5
                )
                return
            for arguments in about.fetched:
                kind_of_set(folder, download=True, **arguments)
    except Exception as error:  # the network, the disk, an archive that is damaged
        raise RunError(f"{spec}: could not be fetched ({reason(error)}); try again, or fetch it by hand") from None


def _told(spec: str, path: str) -> tuple[ImageSet, str]:
    name, _, root = path.partition(":")
    about = SETS.get(name.lower())
    if about is None:
        there = ", ".join(about.torchvision for about in _SETS)
        raise InputError(f"data {spec!r}: no such set; give torchvision:NAME:ROOT with one of {there}")
    if not root:
        raise InputError(f"data {spec!r}: names no folder; give torchvision's root, as in torchvision:{name}:data/")
    return about, root


def _split(about: ImageSet, folder: str, split: str) -> Part:
    """The pictures of `split`. Raises NoSuchSplit."""
    if split not in SPLITS:
        raise NoSuchSplit(f"split = {split!r}: no such split in {about.torchvision}; there are {', '.join(SPLITS)}")
    if split == "val" and about.test == "val":
        raise NoSuchSplit(
            f"split = 'val': {about.torchvision}'s own val is `test` here, since its test pictures have no classes; "
            "give test"
        )
    if split == "test" and about.test is not None:
        return about.read(folder, about.test)
    if split == "val" and about.val is not None:
        return about.read(folder, about.val)
    whole = about.read(folder, about.train)
    if split == "all":
        others = [name for name in (about.val, about.test) if name is not None]
        return _joined([whole, *(about.read(folder, name) for name in others)])
    labels_N = _numbered(whole.classes)
    trained_N = np.ones(len(labels_N), bool)
    if about.test is None:
        trained_N = set_aside(labels_N, lambda n: min(about.train_per_class, n - 1))
    if split == "test":
        return _some(whole, ~trained_N)
    if about.val is not None:
        return whole if split == "train" else _joined([whole, about.read(folder, about.val)])
    if split == "trainval" or about.test == "val":
        return _some(whole, trained_N)
    val_N = np.zeros(len(labels_N), bool)
    rows = np.flatnonzero(trained_N)
    val_N[rows[set_aside(labels_N[rows], val_count)]] = True
    return _some(whole, val_N if split == "val" else trained_N & ~val_N)


def _numbered(classes: Sequence[str]) -> np.ndarray:
    place = {name: i for i, name in enumerate(sorted(set(classes)))}
    return np.array([place[name] for name in classes], np.int64)


def _some(part: Part, mask_N: np.ndarray) -> Part:
    rows = np.flatnonzero(mask_N).tolist()
    pictures = part.pictures[mask_N] if isinstance(part.pictures, np.ndarray) else [part.pictures[i] for i in rows]
    return Part(pictures, [part.classes[i] for i in rows], part.names)


def _joined(parts: Sequence[Part]) -> Part:
    pictures = [part.pictures for part in parts]
    joined = (
        np.concatenate(pictures)
        if isinstance(pictures[0], np.ndarray)
        else [path for some in pictures for path in some]
    )
    return Part(joined, [kind for part in parts for kind in part.classes], parts[0].names)


def _missing(name: str, about: ImageSet, root: str) -> InputError:
    where = os.path.join(root, about.folder) if about.folder else root
    if not about.fetched:
        return InputError(f"data {name}: no {about.torchvision} in {where}; {about.source}")
    return InputError(
        f"data {name}: no {about.torchvision} in {where}; `safeclip evaluate ... --download` fetches it there, and so "
        f"does torchvision.datasets.{about.torchvision}({root!r}, download=True)"
    )
