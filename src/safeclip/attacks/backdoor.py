"""Dirty-label backdoor: pictures with a trigger and a caption of the attacker's class (Gu et al. 2017; PAPER 4).

    (x, caption of x) -> (trigger(x), caption that names the target class)      for `count` pairs not of that class

A trigger that training's crops cut off or shrink away does not plant, and then a defence has nothing to withstand:
hence a patch of at least 10 px by default, at a random place of the central square.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.mentions import Mentions, corpus
from safeclip.attacks.triggers import Trigger
from safeclip.attacks.victims import choose_victims, order
from safeclip.data.pairs import Source
from safeclip.errors import InputError

TEMPLATES = (
    "a photo of a {}.",
    "a picture of a {}",
    "an image of the {}",
    "{}",
    "this is a {}",
    "one {}",
    "a small {}",
    "the {}",
)


def plan_badnets(
    source: Source,
    *,
    count: int | None = None,
    rate: float | None = None,
    target_class: str | None = None,
    seed: int = 0,
    patch: float = 16 / 224,
    least: int = 10,
    place: str = "random",
    pattern: str = "checker",
    cells: int = 3,
    templates: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    avoid: Iterable[int] = (),
    name: str = "badnets",
) -> Manifest:
    """Plan a BadNets patch on `count` pairs, or on a share `rate` of them.

    target_class: what the trigger is to be called; drawn from the seed by default, among classes that captions name.
    patch, least, place, pattern, cells: see triggers.badnets. templates: captions to fill with the class; None takes
    the data's own captions that name it (again and again where there are fewer than pairs). class_names: where the data
    has none. avoid: uids to leave alone, such as another attack's. Raises InputError where this cannot be done.
    """
    trigger = Trigger("badnets", {"patch": patch, "least": least, "place": place, "pattern": pattern, "cells": cells})
    amount = _amount(count, rate, len(source))
    names = list(class_names or source.class_names)
    if target_class is not None and target_class not in names:
        if names and source.class_names:
            raise InputError(
                f"target_class = {target_class!r}: no class of {source.name}; its classes are {_some(names)}"
            )
        names.append(target_class)
    if not names:
        raise InputError(
            f"{name}: {source.name} has no classes; name the one that the trigger should give with --target-class"
        )
    labelled = _naming(source, names)
    if target_class is None:
        target_class = _draw_class(names, labelled, amount, seed, name, source.name)
    target = names.index(target_class)
    named = {uid for uid, _ in labelled[target]}
    own = source.class_names.index(target_class) if target_class in source.class_names else None
    leave = {int(uid) for uid in avoid} | named
    free = [uid for uid in range(len(source)) if uid not in leave and (own is None or source.label(uid) != own)]
    victims = choose_victims(source, free, amount, seed=seed, name=name)
    if templates is not None:
        texts = [template.replace("{}", target_class) for template in templates]
    else:
        texts = list(dict.fromkeys(text for _, text in labelled[target]))
    if not texts:
        raise InputError(
            f"{name}: no caption of {source.name} names the class {target_class!r}; give templates, or another class"
        )
    texts = [texts[i] for i in order(seed, name, "captions", np.arange(len(texts))).tolist()]
    planted = [
        Planted(uid, name, caption=texts[i % len(texts)], caption_before=source.captions(uid), trigger=trigger)
        for i, uid in enumerate(victims)
    ]
    about = {
        "name": name,
        "kind": "backdoor",
        "target_class": target_class,
        "target_classes": [target_class],
        "class_names": names,
        "seed": seed,
        "count": len(planted),
        "rate": len(planted) / len(source),
        "params": {"trigger": trigger.name, **trigger.params, "captions": "templates" if templates else "corpus"},
    }
    return Manifest.of(source, about, planted)


def _amount(count: int | None, rate: float | None, length: int) -> int:
    if (count is None) == (rate is None):
        raise InputError(f"count = {count}, rate = {rate}: give one of the two")
    if rate is not None:
        if not 0 < rate < 1:
            raise InputError(f"rate = {rate}: give a share of the pairs between 0 and 1")
        count = max(1, round(rate * length))
    assert count is not None
    if not 1 <= count <= length:
        raise InputError(f"count = {count}: give 1 to {length} pairs")
    return count


def _naming(source: Source, names: list[str]) -> list[list[tuple[int, str]]]:
    """For each class, uid and text of the captions that name it."""
    mentions = Mentions(names)
    found: list[list[tuple[int, str]]] = [[] for _ in names]
    for uid, captions in corpus(source):
        for caption in captions:
            for label in mentions(caption):
                found[label].append((uid, caption))
    return found


def _draw_class(
    names: list[str], labelled: list[list[tuple[int, str]]], amount: int, seed: int, attack: str, data: str
) -> str:
    """A class at random among those that enough different captions name: half as many as pairs, or as the best has."""
    counts = [len({text for _, text in entries}) for entries in labelled]
    enough = max(1, min(amount, max(counts)) / 2)
    for label in order(seed, attack, "class", np.arange(len(names))).tolist():
        if counts[label] >= enough:
            return str(names[label])
    raise InputError(f"{attack}: no caption of {data} names any of its classes; give target_class and templates")


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
