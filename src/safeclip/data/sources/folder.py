"""Class folders: FOLDER/<class>/*.jpg, or FOLDER/<split>/<class>/*.jpg as ImageNet lies; captions "a photo of a
<class>".

What must stay true: files are taken in sorted order, and links are followed only inside the folder (or image_root,
where one is given); a picture of a kind that is not read is a bad pair, and one beside the class folders is counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from safeclip.data.pairs import NoSuchSplit, Pair
from safeclip.data.sources.image_files import ENDINGS, ImageFiles
from safeclip.data.sources.labelled import Codes, Labelled, Texts, fingerprint
from safeclip.data.sources.paths import SPLITS, walk
from safeclip.errors import InputError

TEMPLATE = "a photo of a {}"
_UNREAD = (".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".jxl")
"""Endings of pictures of other kinds."""


class FolderSource(Labelled):
    """Pictures of class folders: a Source (safeclip.data.pairs). A class is its folder's name with spaces for
    underscores.
    """

    captions_from_classes = True

    def __init__(self, name: str, folder: str, *, split: str = "train", inside: str | None = None):
        self._folder = os.path.realpath(os.path.expanduser(folder))
        there = _splits(name, folder)
        parts = ["."] if not there else sorted(there) if split == "all" else [split]
        if there and split != "all" and split not in there:
            raise NoSuchSplit(
                f"split = {split!r}: no such split in {folder}; there are {', '.join(sorted(there))}, or all"
            )
        codes, paths = Codes(), []
        for part in parts:
            for kind in folders(os.path.join(folder, part)):
                for path in pictures(self._folder, os.path.normpath(os.path.join(part, kind))):
                    codes.add(_class(kind))
                    paths.append(path)
        if not paths:
            raise InputError(
                f"data {name}: no picture in folders named for classes; check that it is the folder you meant"
            )
        everywhere = {_class(kind) for part in there or ["."] for kind in folders(os.path.join(folder, part))}
        for kind in sorted(everywhere):
            codes.add(kind, times=0)
        self._paths = Texts(([path] for path in paths), errors="surrogateescape")
        # the files' sizes would cost a look at each
        mark = fingerprint("folder", [], split, len(paths), extra="\n".join(paths))
        super().__init__(name, mark, len(paths), codes.classes(np.arange(len(paths))))
        self._files = ImageFiles(inside or self._folder)
        self.beside_classes = sum(_pictures_in(os.path.join(folder, part)) for part in parts)
        """Pictures that lie in no class folder, and are no pairs."""

    def __getitem__(self, uid: int) -> Pair:
        uid = self._checked(uid)
        return Pair(self._files.read(os.path.join(self._folder, self._paths[uid][0])), self.captions(uid))

    def captions(self, uid: int) -> tuple[str, ...]:
        return (TEMPLATE.format(self.class_names[self.label(uid)]),)


def open_folder(
    name: str, path: str, *, split: str = "train", image_root: str | None = None, **_: object
) -> FolderSource:
    if not os.path.isdir(os.path.expanduser(path)):
        raise InputError(f"data {path}: no such folder; check the path")
    return FolderSource(name, os.path.expanduser(path), split=split, inside=image_root)


def _class(folder: str) -> str:
    """Its name for people; of a name that is not UTF-8, what can be read."""
    return folder.replace("_", " ").encode("utf-8", "replace").decode()


def _splits(name: str, folder: str) -> list[str]:
    """Folders of `folder` that are splits, with folders of classes in them: `train` may be a class too. Raises
    InputError where other folders hold pictures beside them."""
    found = folders(folder)
    there = [entry for entry in found if entry in SPLITS and folders(os.path.join(folder, entry))]
    beside = [entry for entry in found if entry not in SPLITS and _has_picture(os.path.join(folder, entry))]
    if there and beside:
        raise InputError(
            f"data {name}: has splits with classes ({', '.join(there)}) beside classes ({', '.join(beside[:5])}); "
            "name the folder of one split, or move them apart"
        )
    return there


def _has_picture(folder: str) -> bool:
    return _pictures_in(folder) > 0


def _pictures_in(folder: str) -> int:
    """Pictures in the folder itself."""
    return sum(name.lower().endswith(ENDINGS) for name in next(walk(folder, links=False))[2])


def folders(path: str) -> list[str]:
    """Names of the folders in `path`, sorted, without hidden ones. Raises InputError."""
    return next(walk(path, links=False))[1]


def pictures(root: str, under: str) -> Iterator[str]:
    """Picture files anywhere below root/under, as paths from root, in sorted order."""
    for folder, _, files in walk(os.path.join(root, under), links=False):
        for file in files:
            if file.lower().endswith((*ENDINGS, *_UNREAD)):
                yield os.path.relpath(os.path.join(folder, file), root)
