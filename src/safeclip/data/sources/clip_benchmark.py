"""What CLIP-Benchmark lays beside its tar shards: names of the classes that .cls files count, and zero-shot prompts.

    classnames.txt  zeroshot_classification_templates.txt  dataset_type.txt      in the shards' folder or the one above
    train/nshards.txt  train/0.tar  train/1.tar ...  test/...

A class is a line of classnames.txt, counted from 0; a prompt has {c} for the class. What must stay true: a number
without a name, and a shard that is missing, are errors and no guess.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safeclip.data.sources.labelled import Codes
from safeclip.errors import InputError


@dataclass(frozen=True)
class Beside:
    """names: of the classes, () where there is no such file. templates: prompts, {} for the class. several: whether
    each line of a .txt is a caption of its own, as in sets for retrieval. where: the file of names.
    """

    names: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    several: bool = False
    where: str = ""


def beside(files: Sequence[str]) -> Beside:
    """What lies beside the first of these shards. Raises InputError."""
    if "://" in files[0]:
        return Beside()
    folder = os.path.dirname(os.path.abspath(files[0]))
    found: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for name in ("classnames.txt", "zeroshot_classification_templates.txt", "dataset_type.txt"):
        for place in (folder, os.path.dirname(folder)):
            if name not in found and os.path.isfile(os.path.join(place, name)):
                places[name] = os.path.join(place, name)
                found[name] = _lines(places[name])
    names = found.get("classnames.txt", [])
    if names and not all(names):
        raise InputError(f"data {places['classnames.txt']}: line {names.index('') + 1} is empty; a class has no name")
    templates = [t.replace("{c}", "{}") for t in found.get("zeroshot_classification_templates.txt", []) if t]
    without = next((t for t in templates if "{}" not in t), None)
    if without is not None:
        where = places["zeroshot_classification_templates.txt"]
        raise InputError(f"data {where}: the prompt {without[:80]!r} has no {{c}} for the class")
    several = found.get("dataset_type.txt") == ["retrieval"]
    return Beside(tuple(names), tuple(templates), several, places.get("classnames.txt", ""))


def check_count(files: Sequence[str]) -> None:
    """Raises InputError where a folder's nshards.txt counts other shards than there are."""
    for folder in sorted({os.path.dirname(file) for file in files}):
        path = os.path.join(folder, "nshards.txt")
        if not os.path.isfile(path):
            continue
        wanted, there = "".join(_lines(path)), sum(os.path.dirname(file) == folder for file in files)
        if wanted != str(there):
            raise InputError(f"data {folder}: has {there} shards, and nshards.txt says {wanted[:20]}; fetch the others")


def named(numbers: Codes, names: Sequence[str], where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """(sorted class names, index into them for each .cls) from .cls texts: a number, or a name that is listed. Equal
    names are one class. Raises InputError.
    """
    written, label_N = numbers.classes()
    codes = Codes()
    for name in names:
        codes.add(name, times=0)
    codes.extend([_name(text, names, where) for text in written], label_N)
    return codes.classes()


def _name(text: str, names: Sequence[str], where: str) -> str:
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(names):
        return names[int(text)]
    if text in names:
        return text
    raise InputError(f"data {where}: a .cls says {text[:40]!r}, and here are the classes 0 to {len(names) - 1}")


def _lines(path: str) -> list[str]:
    """The file's lines without the space around them; blank ones at its end are left out."""
    try:
        with open(path, encoding="utf-8") as file:
            return [line.strip() for line in file.read().rstrip().split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data {path}: cannot be read ({type(error).__name__}); fetch it again") from None
