"""Annotation files beside folders of pictures: COCO captions, Visual Genome region descriptions.

What must stay true: captions lie in one compact buffer, and uids follow the file's order, so that they are the same
everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from safeclip.data.draws import uniforms
from safeclip.data.pairs import Pair
from safeclip.data.sources import json_stream
from safeclip.data.sources.columns import folder_of
from safeclip.data.sources.image_files import ImageFiles
from safeclip.data.sources.labelled import Codes, Labelled, Texts, fingerprint, usable
from safeclip.data.sources.paths import only_file
from safeclip.errors import InputError

VG_PHRASES = 5
"""Region phrases that make a Visual Genome caption."""
_VG_STREAM = 41
_VG_FOLDERS = ("VG_100K", "VG_100K_2", "images/VG_100K", "images/VG_100K_2", "images", "")


class AnnotatedSource(Labelled):
    """Pictures by path with their captions in memory: a Source (safeclip.data.pairs). paths: of each picture one or
    more places to look, in order.
    """

    def __init__(self, name: str, mark: str, root: str, paths: Texts, captions: Texts):
        super().__init__(name, mark, len(paths))
        self._paths, self._captions, self._files = paths, captions, ImageFiles(root)

    def __getitem__(self, uid: int) -> Pair:
        uid = self._checked(uid)
        captions = self.captions(uid)
        places = self._paths[uid]
        path = next((p for p in places[:-1] if self._files.has(p)), places[-1])
        return Pair(self._files.read(path), captions)

    def captions(self, uid: int) -> tuple[str, ...]:
        return usable(self._captions[self._checked(uid)])


def open_coco(
    name: str, path: str, *, split: str = "train", image_root: str | None = None, **_: object
) -> AnnotatedSource:
    """`captions_train2017.json` (images, annotations), or Karpathy's `dataset_coco.json`, whose split is honoured
    (train takes restval).

    Pictures: image_root, else the folder train2017, images/train2017 or images, beside the JSON or its parent, that
    has them.
    """
    file = only_file(path)
    about = json_stream.load(file)
    if not isinstance(about, dict) or not isinstance(about.get("images"), list):
        raise InputError(f"data {file}: has no list `images`; is it a COCO captions file?")
    try:
        karpathy = "annotations" not in about
        names, captions = _karpathy(about, split, file) if karpathy else _coco(about, file)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"data {file}: an entry is not as COCO writes it ({type(error).__name__}: {str(error)[:80]})"
        ) from None
    if not names:
        raise InputError(f"data {name}: holds no pair; check that it is the file you meant")
    part = os.path.splitext(os.path.basename(file))[0].removeprefix("captions_")
    root = image_root or _picture_folder(file, part, names[:16])
    mark = fingerprint("coco", [file], split if karpathy else "", len(names))
    return AnnotatedSource(name, mark, root, Texts([n] for n in names), Texts(captions))


def open_visual_genome(name: str, path: str, *, image_root: str | None = None, **_: object) -> AnnotatedSource:
    """`region_descriptions.json`; a caption is up to 5 phrases of the picture, drawn by its id, joined with "; ".

    Pictures: ID.jpg in VG_100K, VG_100K_2, images or no folder, under image_root or the JSON's folder. Visual Genome
    has no splits.
    """
    file = only_file(path)
    ids: list[int] = []

    def captions() -> Iterator[list[str]]:
        for entry in json_stream.items(file):
            try:
                regions = entry["regions"]
                number = int(np.int64(int(entry["id"] if "id" in entry else regions[0]["image_id"])))
                said = [region["phrase"] for region in regions]
            except OverflowError:
                raise InputError(f"data {file}: entry {len(ids)} has an `id` beyond 64 bits; give another") from None
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                raise InputError(
                    f"data {file}: entry {len(ids)} lacks `id`, `regions` or a `phrase`; is it region_descriptions?"
                ) from None
            ids.append(number)
            phrases = [text.strip() for text in said if isinstance(text, str)]
            yield [_phrases(number, [p for p in phrases if p])]

    texts = Texts(captions())
    twice = len(ids) - len(set(ids))
    if twice:
        raise InputError(f"data {file}: {twice} picture ids occur twice; give each picture one entry")
    mark = fingerprint("vg", [file], "", len(ids), extra="0")  # as ever: checkpoints know the data by it
    paths = Texts([f"{folder}/{n}.jpg".lstrip("/") for folder in _VG_FOLDERS] for n in ids)
    return AnnotatedSource(name, mark, image_root or folder_of(file), paths, texts)


def _coco(about: dict[str, Any], file: str) -> tuple[list[str], list[list[str]]]:
    """Per entry of `images`, in the file's order: its file name and the captions whose image_id is its id."""
    names = [str(image["file_name"]) for image in about["images"]]
    place = {image["id"]: i for i, image in enumerate(about["images"])}
    if len(place) < len(names):
        raise InputError(f"data {file}: {len(names) - len(place)} image ids occur twice; give each image one entry")
    captions: list[list[str]] = [[] for _ in names]
    for entry in about["annotations"]:
        if entry["image_id"] not in place:
            raise InputError(
                f"data {file}: a caption names image_id {entry['image_id']!r}, which `images` lacks; leave it out"
            )
        if "caption" not in entry:
            raise InputError(
                f"data {file}: annotations without `caption`; give the captions file, not instances or keypoints"
            )
        if isinstance(entry["caption"], str):
            captions[place[entry["image_id"]]].append(entry["caption"])
    return names, captions


def _karpathy(about: dict[str, Any], split: str, file: str) -> tuple[list[str], list[list[str]]]:
    codes = Codes()
    for image in about["images"]:
        found = image.get("split")
        codes.add("train" if found == "restval" else found)
    rows = range(len(about["images"])) if split == "all" else codes.rows(split, file).tolist()
    chosen = [about["images"][row] for row in rows]
    names = [os.path.join(image.get("filepath", ""), str(image["filename"])) for image in chosen]
    said = [[sentence["raw"] for sentence in image["sentences"]] for image in chosen]
    return names, [[text for text in texts if isinstance(text, str)] for texts in said]


def _picture_folder(file: str, part: str, names: list[str]) -> str:
    """The first usual folder that has one of the first pictures. Raises InputError."""
    here = folder_of(file)
    files = ImageFiles()
    for base in (here, os.path.dirname(here)):
        for folder in (part, f"images/{part}", "images", ""):
            place = os.path.join(base, folder)
            if any(files.has(name, place) for name in names):
                return place
    raise InputError(
        f"data {file}: its pictures (such as {names[0][:80]}) lie in no usual folder; give theirs as data.image_root"
    )


def _phrases(picture: int, phrases: list[str]) -> str:
    draws = uniforms(0, 0, np.array([picture], np.int64), _VG_STREAM, max(len(phrases), 1))[0]
    return "; ".join(phrases[i] for i in np.argsort(draws[: len(phrases)], kind="stable")[:VG_PHRASES].tolist())
