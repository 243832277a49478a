"""Annotation files of the published image sets, as torchvision.datasets lays them on disk: which pictures a part has,
and the class of each.

Read here and not by torchvision, whose loaders unpickle CIFAR and decode pictures past the decoder's limits; a test
holds that both see the same pictures and classes. Class names are the set's own, as torchvision gives them, with spaces
for underscores; none is made up. Paths that a file names are hostile: they are read by image_files.py alone.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safeclip.data.sources.folder import folders, pictures
from safeclip.data.torchvision_import import import_torchvision
from safeclip.errors import InputError


@dataclass(frozen=True)
class Part:
    """pictures: paths from the set's folder, or uint8 RGB (N, H, W, 3). classes: the name of each one's class.
    names: every class of the whole set, so that all its parts agree.
    """

    pictures: Sequence[str] | np.ndarray
    classes: Sequence[str]
    names: Sequence[str]


def dtd(folder: str, part: str) -> Part:
    """dtd/labels/<part>1.txt: banded/banded_0002.jpg (the first of ten partitions)."""
    listed = {name: _lines(f"{folder}/labels/{name}1.txt") for name in ("train", "val", "test")}
    kinds = {name: [line.split("/")[0] for line in lines] for name, lines in listed.items()}
    names = sorted(set().union(*kinds.values()))
    return part_of([f"images/{line}" for line in listed[part]], kinds[part], names, folder)


def food101(folder: str, part: str) -> Part:
    """meta/<part>.json: {class: [class/1005649, ...]}."""
    about = _json(f"{folder}/meta/{part}.json")
    if not isinstance(about, dict) or not all(isinstance(listed, list) for listed in about.values()):
        raise _unreadable(f"{folder}/meta/{part}.json", "no lists of pictures by class")
    rows = [(f"images/{picture}.jpg", kind) for kind, listed in about.items() for picture in listed]
    return part_of([path for path, _ in rows], [kind for _, kind in rows], sorted(about), folder)


def aircraft(folder: str, part: str) -> Part:
    """data/images_variant_<part>.txt: 1025794 707-320."""
    rows = [line.partition(" ") for line in _lines(f"{folder}/data/images_variant_{part}.txt")]
    names = _lines(f"{folder}/data/variants.txt")
    return part_of([f"data/images/{number}.jpg" for number, _, _ in rows], [kind for _, _, kind in rows], names, folder)


def flowers102(folder: str, part: str) -> Part:
    """setid.mat: numbers of the part's pictures; imagelabels.mat: 1-based class of each. The names lie in torchvision.
    One of them ends in a question mark, which is dropped.
    """
    which = {"train": "trnid", "val": "valid", "test": "tstid"}[part]
    numbers_N = _numbers(f"{folder}/setid.mat", which)
    labels_M = _numbers(f"{folder}/imagelabels.mat", "labels")
    if len(numbers_N) and not 1 <= numbers_N.min() <= numbers_N.max() <= len(labels_M):
        raise InputError(f"data {folder}/setid.mat: names pictures that imagelabels.mat does not; fetch the set again")
    known = getattr(import_torchvision().datasets.Flowers102, "classes", None)
    if known is None:
        raise InputError("torchvision: this version has no names of the 102 flowers; install a newer one")
    names = [name.rstrip("?") for name in known]
    kinds = _named(names, labels_M[numbers_N - 1], f"{folder}/imagelabels.mat")
    return part_of([f"jpg/image_{n:05d}.jpg" for n in numbers_N.tolist()], kinds, names, folder)


def pets(folder: str, part: str) -> Part:
    """annotations/<part>.txt: Abyssinian_100 1 1 1. The class is what stands before the last underscore."""
    listed = {n: [line.split(" ")[0] for line in _lines(f"{folder}/annotations/{n}.txt")] for n in ("trainval", "test")}
    kinds = {name: [picture.rpartition("_")[0].title() for picture in found] for name, found in listed.items()}
    names = sorted(set(kinds["trainval"]) | set(kinds["test"]))
    return part_of([f"images/{picture}.jpg" for picture in listed[part]], kinds[part], names, folder)


def cars(folder: str, part: str) -> Part:
    """devkit/cars_meta.mat: class_names; cars_<part>_annos...mat: fname and 1-based class of each picture."""
    names = _texts(mat_variable(f"{folder}/devkit/cars_meta.mat", "class_names"))
    where = f"{folder}/" + {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}[part]
    rows = mat_variable(where, "annotations")
    if not {"fname", "class"} <= set(rows.dtype.names or ()):
        raise InputError(f"data {where}: holds no fname and class; fetch the set again")
    labels_N = np.array([np.ravel(label)[0] if np.size(label) else 0 for label in rows["class"].ravel()])
    files = _texts(rows["fname"])
    return part_of([f"cars_{part}/{file}" for file in files], _named(names, labels_N, where), names, folder)


def class_folders(*parts: str, name_of: Callable[[str], str] = str, left_out: str = "") -> Callable[[str, str], Part]:
    """A reader of <part>/<class>/*.jpg. parts: all those of the set. name_of: folder -> class. left_out: a folder that
    is no class.
    """

    def kinds_of(folder: str, part: str) -> list[str]:
        return [kind for kind in folders(os.path.join(folder, part)) if kind != left_out]

    def read(folder: str, part: str) -> Part:
        if not os.path.isdir(os.path.join(folder, part)):
            raise _unreadable(os.path.join(folder, part), "no such folder")
        there = [name for name in parts if os.path.isdir(os.path.join(folder, name))]
        names = {kind: name_of(kind) for name in there for kind in kinds_of(folder, name)}
        rows = [
            (path, names[kind])
            for kind in kinds_of(folder, part)
            for path in pictures(folder, os.path.normpath(f"{part}/{kind}"))
        ]
        return part_of([path for path, _ in rows], [kind for _, kind in rows], list(names.values()), folder)

    return read


def spaced(name: str) -> str:
    """AnnualCrop -> Annual Crop."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def imagenet_name(wnid: str) -> str:
    """n01440764 -> tench. Raises InputError on a folder that is none of the 1,000 classes."""
    names = _imagenet_names()
    if wnid not in names:
        raise InputError(f"data: {wnid!r} is none of ImageNet's 1,000 class folders, such as n01440764; take folder:")
    return names[wnid]


@functools.cache
def _imagenet_names() -> dict[str, str]:
    """open_clip's names, which tell apart what WordNet calls the same, by timm's list of the 1,000 folders."""
    import_torchvision()
    from open_clip import IMAGENET_CLASSNAMES
    from timm.data.imagenet_info import ImageNetInfo

    about: Any = ImageNetInfo("imagenet-1k")
    return dict(zip(about.label_names(), IMAGENET_CLASSNAMES, strict=True))


def part_of(pictures: Sequence[str] | np.ndarray, classes: Sequence[str], names: Sequence[str], where: str) -> Part:
    """The part, once its numbers and names agree. Raises InputError. where: the set's folder."""
    known = set(names)
    strange = next((kind for kind in classes if kind not in known), None)
    if strange is not None:
        raise InputError(f"data {where}: the class {strange[:80]!r} is none of the set's; fetch the set again")
    if not len(pictures) or len(pictures) != len(classes):
        raise InputError(f"data {where}: {len(pictures)} pictures with {len(classes)} classes; fetch the set again")
    return Part(pictures, [kind.replace("_", " ") for kind in classes], [name.replace("_", " ") for name in names])


def _named(names: Sequence[str], labels_N: np.ndarray, where: str) -> list[str]:
    """Names of 1-based labels."""
    if labels_N.dtype.kind not in "iuf" or (len(labels_N) and not 1 <= labels_N.min() <= labels_N.max() <= len(names)):
        raise InputError(f"data {where}: its labels are not 1 to {len(names)}; fetch the set again")
    return [names[int(label) - 1] for label in labels_N.tolist()]


def _lines(path: str) -> list[str]:
    """Lines that are not blank, without the space around them."""
    return [line.strip() for line in read_file(path).decode("utf-8", "replace").splitlines() if line.strip()]


def _json(path: str) -> Any:
    try:
        return json.loads(read_file(path))
    except (ValueError, RecursionError):
        raise _unreadable(path, "no JSON") from None


def _numbers(path: str, name: str) -> np.ndarray:
    numbers = mat_variable(path, name).ravel()
    if numbers.dtype.kind not in "iuf":
        raise _unreadable(path, f"{name} holds no numbers")
    return numbers.astype(np.int64)


def _texts(cells: np.ndarray) -> list[str]:
    return [str(np.ravel(cell)[0]) if np.size(cell) else "" for cell in cells.ravel()]


def mat_variable(path: str, name: str) -> np.ndarray:
    """A variable of a MATLAB file: SciPy's reader makes arrays and runs nothing. Raises InputError."""
    from scipy.io import loadmat

    try:
        found = loadmat(io.BytesIO(read_file(path)), variable_names=[name])
    except InputError:
        raise
    except Exception as error:  # a damaged file makes SciPy raise nearly anything
        raise _unreadable(path, f"no MATLAB file, {type(error).__name__}") from None
    if name not in found:
        raise _unreadable(path, f"no variable {name}")
    return np.asarray(found[name])


def read_file(path: str) -> bytes:
    """The bytes of a regular file: others, such as devices, may never end. Raises InputError."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _unreadable(path, "not a file")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from None


def _unreadable(path: str, reason: str) -> InputError:
    return InputError(f"data {path}: cannot be read ({reason}), so the set is not whole; fetch it again")
