"""What every measure of attack success has in common: the pictures that a model has seen, and how a result is told."""

from __future__ import annotations

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
    zero-shot classifier. fingerprint: of the data. captions: of those rows that have them at hand. aliases: further
    names of classes, as the model reads them, and the place of each.
    """

    uids_N: np.ndarray
    image_ND: Tensor
    labels_N: np.ndarray
    class_names: tuple[str, ...]
    class_CD: Tensor
    fingerprint: str = ""
    captions: dict[int, tuple[str, ...]] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)


def share_of(hit_N: Tensor) -> float:
    """Share of True in a bool (N,), N at least 1."""
    return int(hit_N.sum()) / len(hit_N)


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
        "planted": len(manifest.planted_by(name)),
        "examples": examples,
    }


def index_of(clean: Evaluated, needed: set[str], attack: str) -> dict[str, int]:
    """Place of each class, by every name. Raises InputError where a needed one is missing, and where there is but one:
    it is all that a picture can be called, so that every model would look fooled.
    """
    if len(clean.class_names) < 2:
        raise InputError(
            f"attack {attack}: {len(clean.class_names)} class to call pictures by shows nothing; evaluate on data with "
            "classes, or plan the attack with class_names"
        )
    index = {name: i for i, name in enumerate(clean.class_names)} | clean.aliases
    missing = sorted(needed - index.keys())
    if missing:
        raise InputError(
            f"attack {attack}: the class {missing[0]!r} is not among those evaluated; evaluate on data that has it"
        )
    return index


def check_apart(index: dict[str, int], one: str, other: str, attack: str) -> None:
    """Raises InputError where the model reads two classes of an attack as one: whatever it says, it says both."""
    if index.get(one) == index[other]:
        raise InputError(f"attack {attack}: the model reads {one!r} and {other!r} the same; nothing can be told of it")


def example(index: int, true: str, target: str, called: str, hit: bool) -> dict[str, Any]:
    """A picture to show. index: its uid, or its place among the targets; the classes by name."""
    return {"index": index, "true": true, "target": target, "called": called, "hit": hit}


def class_of(clean: Evaluated, row: int) -> str:
    """Name of the picture's class, "" where it has none."""
    label = int(clean.labels_N[row])
    return clean.class_names[label] if label >= 0 else ""
