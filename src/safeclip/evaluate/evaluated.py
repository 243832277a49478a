"""What every measure of attack success has in common: the pictures that a model has seen, and how a result is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from safeclip.attacks.manifest import Manifest
from safeclip.errors import InputError
from safeclip.evaluate.wilson import wilson


@dataclass(frozen=True)
class Evaluated:
    """Clean pictures that a model has seen.

    uids_N: of the data they come from. image_ND: unit embeddings. labels_N: into class_names, -1 unknown. class_CD:
    zero-shot classifier. fingerprint: of the data. captions: of those rows that have them at hand.
    """

    uids_N: np.ndarray
    image_ND: Tensor
    labels_N: np.ndarray
    class_names: tuple[str, ...]
    class_CD: Tensor
    fingerprint: str = ""
    captions: dict[int, tuple[str, ...]] = field(default_factory=dict)


def share_of(hit_N: Tensor) -> float:
    """Share of True in a bool (N,), N at least 1."""
    return int(hit_N.sum()) / len(hit_N)


def spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    some: np.ndarray = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    return some


def result_of(
    manifest: Manifest,
    name: str,
    target_class: str | None,
    k: int,
    n: int,
    base_rate: float | None,
    true_class_rate: float | None,
    examples: list[dict[str, Any]],
) -> dict[str, Any]:
    """An entry of metrics.json's `attack`: k hits of n, with Wilson's 95 % interval. Raises InputError where the
    manifest has no attack of that name."""
    return {
        "name": name,
        "kind": manifest.attack(name)["kind"],
        "asr": k / n,
        "k": int(k),
        "n": n,
        "ci95": list(wilson(int(k), n)),
        "base_rate": base_rate,
        "target_class": target_class,
        "true_class_rate": true_class_rate,
        "planted": sum(row.attack == name for row in manifest.planted),
        "examples": examples,
    }


def index_of(class_names: Sequence[str], needed: set[str], attack: str) -> dict[str, int]:
    """Place of each class. Raises InputError where a needed one is missing; where there is but one: it is all that a
    picture can be called, so that every model would look fooled; and where a needed one reads like another to a model:
    as neither could win, every model would look sound.
    """
    if len(class_names) < 2:
        raise InputError(
            f"attack {attack}: {len(class_names)} class to call pictures by shows nothing; evaluate on data with "
            "classes, or plan the attack with class_names"
        )
    index = {name: i for i, name in enumerate(class_names)}
    missing = sorted(needed - index.keys())
    if missing:
        raise InputError(
            f"attack {attack}: the class {missing[0]!r} is not among those evaluated; evaluate on data that has it"
        )
    times = Counter(map(_read, class_names))
    twin = next((name for name in sorted(needed) if times[_read(name)] > 1), None)
    if twin is not None:
        raise InputError(
            f"attack {attack}: another class evaluated reads like {twin!r}, so that no picture could be called either; "
            "evaluate on data whose classes are written as the attack's"
        )
    return index


def first_alike(class_names: Sequence[str]) -> np.ndarray:
    """Of each class the place of the first that a model reads the same, int64 (C,).

    >>> first_alike(["Dog", "bird", "dog", "golden_retriever", "golden retriever"]).tolist()
    [0, 1, 0, 3, 3]
    """
    places: dict[str, int] = {}
    return np.array([places.setdefault(_read(name), place) for place, name in enumerate(class_names)], np.int64)


def _read(class_name: str) -> str:
    """A class as tokenizers read it."""
    return " ".join(class_name.replace("_", " ").lower().split())


def example(index: int, true: str, target: str, called: str, hit: bool) -> dict[str, Any]:
    """A picture to show. index: its uid, or its place among the targets; the classes by name."""
    return {"index": index, "true": true, "target": target, "called": called, "hit": hit}


def class_of(clean: Evaluated, row: int) -> str:
    """Name of the picture's class, "" where it has none."""
    label = int(clean.labels_N[row])
    return clean.class_names[label] if label >= 0 else ""
