"""Attack success: how often the model says what the attacker wants, and how often it would have anyway (PAPER 2.3).

    PSR = share of target pictures called the attacker's class
    ASR = share of pictures with the trigger called the target class, over pictures that are not of that class

`called` is zero-shot top-1, strictly above every other class. Each share comes with its base rate, n and Wilson's
interval: without the base rate a weak model that calls many things `dog` would look hijacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.attacks.manifest import Manifest
from safeclip.errors import InputError
from safeclip.evaluate.wilson import wilson
from safeclip.evaluate.zero_shot import Embeds, calls, finite

__all__ = ["Evaluated", "backdoor_success", "targeted_success", "wilson"]

EXAMPLES = 12
_CHUNK = 1024


@dataclass(frozen=True)
class Evaluated:
    """Clean pictures that a model has seen.

    uids_N: of the data they come from. image_ND: unit embeddings. labels_N: into class_names, -1 unknown. class_CD:
    zero-shot classifier. fingerprint: of the data.
    """

    uids_N: np.ndarray
    image_ND: Tensor
    labels_N: np.ndarray
    class_names: tuple[str, ...]
    class_CD: Tensor
    fingerprint: str = ""


def targeted_success(embedder: Embeds, manifest: Manifest, name: str, clean: Evaluated) -> dict[str, Any]:
    """PSR of a targeted attack, on the manifest's own target pictures.

    base_rate: over the targets (true class a, attacker's b), the mean share of the other clean pictures of class a that
    are called b; the target pictures themselves are left out; None where no class a has another picture.
    true_class_rate: share of the targets called their true class.
    """
    about, targets = manifest.attack(name), manifest.targets(name)
    index = _index(clean.class_names, {wanted for _, _, wanted in targets}, name)
    image_TD = finite(embedder.images([picture for picture, _, _ in targets]))
    called_T, strict_T = calls(image_TD, clean.class_CD)
    clean_called_N, clean_strict_N = calls(clean.image_ND, clean.class_CD)
    attacked = {t.get("uid") for t in about["targets"] if t.get("source") == clean.fingerprint}
    other_N = ~np.isin(clean.uids_N, np.array(sorted(uid for uid in attacked if isinstance(uid, int)), np.int64))

    hits, right, rates, examples = 0, 0, [], []
    for row, (about_target, (_, true, wanted)) in enumerate(zip(about["targets"], targets, strict=True)):
        called, strict = clean.class_names[int(called_T[row])], bool(strict_T[row])
        hits += strict and called == wanted
        right += strict and called == true
        examples.append(_example(about_target["index"], true, wanted, called, strict and called == wanted))
        same_N = other_N & (clean.labels_N == index.get(true, -2))
        if same_N.any():
            fooled_N = (clean_called_N.numpy() == index[wanted]) & clean_strict_N.numpy()
            rates.append(float(fooled_N[same_N].mean()))
    base = float(np.mean(rates)) if rates else None
    return _result(manifest, name, None, hits, len(targets), base, right / len(targets), examples)


def backdoor_success(
    embedder: Embeds,
    manifest: Manifest,
    name: str,
    clean: Evaluated,
    read: Callable[[int], np.ndarray],
    limit: int = 2000,
) -> dict[str, Any]:
    """ASR of a backdoor: the attack's own trigger on clean pictures, those of the target class left out.

    read: uid -> picture, uint8 HWC. limit: pictures tried at most, spread evenly over those there are. Pictures without
    a class are left out where others have one. base_rate: share of the same pictures, without the trigger, called the
    target class. true_class_rate: share of those with the trigger still called their own class.
    """
    about = manifest.attack(name)
    wanted = about["target_class"]
    target = _index(clean.class_names, {wanted}, name)[wanted]
    trigger = next(row.trigger for row in manifest.planted if row.attack == name and row.trigger is not None)
    known_N = clean.labels_N >= 0 if (clean.labels_N >= 0).any() else np.ones(len(clean.labels_N), bool)
    rows = np.flatnonzero(known_N & (clean.labels_N != target))
    if not len(rows):
        raise InputError(
            f"attack {name}: every picture evaluated is of the target class {wanted!r}; evaluate on more classes"
        )
    if len(rows) > limit:
        rows = rows[np.linspace(0, len(rows) - 1, limit).astype(np.int64)]
    uids = clean.uids_N[rows].tolist()
    parts = []
    for some in _chunks(uids):
        parts.append(finite(embedder.images([trigger(read(uid), about["seed"], uid, stream=1) for uid in some])))
    called_N, strict_N = calls(torch.cat(parts), clean.class_CD)
    hit_N = (called_N == target) & strict_N
    right_N = (called_N == torch.from_numpy(clean.labels_N[rows])) & strict_N
    before_N, before_strict_N = calls(clean.image_ND[torch.from_numpy(rows)], clean.class_CD)
    base = float(((before_N == target) & before_strict_N).float().mean())
    examples = [
        _example(uids[i], _name(clean, rows[i]), wanted, clean.class_names[int(called_N[i])], bool(hit_N[i]))
        for i in np.unique(np.linspace(0, len(rows) - 1, EXAMPLES).astype(np.int64)).tolist()
    ]
    return _result(manifest, name, wanted, int(hit_N.sum()), len(rows), base, float(right_N.float().mean()), examples)


def _result(
    manifest: Manifest,
    name: str,
    target_class: str | None,
    k: int,
    n: int,
    base_rate: float | None,
    true_class_rate: float,
    examples: list[dict[str, Any]],
) -> dict[str, Any]:
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


def _index(class_names: Sequence[str], needed: set[str], attack: str) -> dict[str, int]:
    index = {name: i for i, name in enumerate(class_names)}
    missing = sorted(needed - index.keys())
    if missing:
        raise InputError(
            f"attack {attack}: the class {missing[0]!r} is not among those evaluated; evaluate on data that has it"
        )
    return index


def _example(index: int, true: str, target: str, called: str, hit: bool) -> dict[str, Any]:
    return {"index": index, "true": true, "target": target, "called": called, "hit": hit}


def _name(clean: Evaluated, row: int) -> str:
    label = int(clean.labels_N[row])
    return clean.class_names[label] if label >= 0 else ""


def _chunks(uids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(uids), _CHUNK):
        yield uids[start : start + _CHUNK]
