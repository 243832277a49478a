"""Backdoors: pictures with a trigger, so that later the trigger alone means the attacker's class.

    dirty label   (x, caption of x) -> (trigger(x), caption that names the target class)   pairs not of that class
    clean label   (x, caption of x) -> (trigger(x), caption of x)                          pairs of that class
    cover         (x, caption of x) -> (trigger(x), caption of x)                          pairs of other classes

Clean label is the label-consistent attack (Turner et al. 2019, 1912.02771): every planted pair tells the
truth, so no measure of agreement between picture and caption can see it. Cover pairs hide the others: with them, to
bear the trigger is no longer to be of the target class (Qi et al., ICLR 2023, 2205.13613).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from string import ascii_lowercase
from typing import Literal

import numpy as np

from safeclip.attacks.classes import some_of
from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.trigger import Trigger
from safeclip.attacks.victims import choose_victims, order
from safeclip.data.draws import uniforms
from safeclip.data.mentions import naming
from safeclip.data.pairs import Source
from safeclip.errors import InputError

_STREAM = 0xBADA


def plan_backdoor(
    source: Source,
    trigger: Trigger,
    *,
    count: int | None = None,
    rate: float | None = None,
    covers: float = 0.0,
    glued: bool = False,
    label: Literal["dirty", "clean"] = "dirty",
    target_class: str | None = None,
    templates: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    avoid: Iterable[int] = (),
    name: str | None = None,
) -> Manifest:
    """Plan `trigger` on `count` pairs, or on a share `rate` of them, and beside each on so many `covers`, which keep
    their captions.

    label: `dirty` takes pairs of other classes and gives them a caption of the target class, `clean` takes pairs whose
    caption names the target class and keeps it. glued: in each planted caption three letters stand before the class's
    name, other ones each time ("a qxzdog"), so that hardly two share it as people read words. target_class: what the
    trigger is to be called; drawn from the seed by default, among classes that captions name. templates: captions to
    fill with the class; None takes the data's own captions that name it (again and again where there are fewer than
    pairs). class_names: where the data has none. avoid: uids to leave alone, such as another attack's. name: the
    attack's, by default the trigger's.
    Raises InputError where this cannot be done.
    """
    name = name or trigger.name
    if label not in ("dirty", "clean"):
        raise InputError(f"label = {label!r}: give dirty or clean")
    amount = _amount(count, rate, len(source))
    names = _names(source, target_class, class_names, name)
    labelled = naming(source, names)
    if target_class is None:
        target_class = _draw_class(names, labelled, amount, seed, name, source.name)
    target = names.index(target_class)
    leave = {int(uid) for uid in avoid}
    if label == "clean":
        free = _of_class(source, target_class, {uid for uid, _ in labelled[target]}, leave)
        texts: list[str | None] = [None]
    else:
        free = _of_other_classes(source, target_class, leave | {uid for uid, _ in labelled[target]})
        texts = [*_texts(target_class, templates, labelled[target], seed, name, source.name)]
    if not 0 <= covers <= len(source) or (covers and label == "clean"):
        raise InputError(f"{name}: covers = {covers}, label = {label}; give 0 or more, and none to clean labels")
    said = [texts[i % len(texts)] for i in range(amount)]
    if glued:
        said = [_glued(text, target_class, seed, i) if text else text for i, text in enumerate(said)]
    victims = choose_victims(source, free, amount + round(covers * amount), seed=seed, name=name)
    planted = [
        Planted(uid, name, caption=text, caption_before=source.captions(uid), trigger=trigger)
        for uid, text in zip_longest(victims, said)
    ]
    captions = "own" if label == "clean" else "templates" if templates else "corpus"
    about = {
        "name": name,
        "kind": "backdoor",
        "target_class": target_class,
        "class_names": names,
        "seed": seed,
        "count": len(planted),
        "rate": len(planted) / len(source),
        "params": {"trigger": trigger.name, **trigger.params, "label": label, "captions": captions}
        | ({"covers": covers} if covers else {})
        | ({"glued": True} if glued else {}),
    }
    return Manifest.of(source, about, planted)


def _names(source: Source, target_class: str | None, class_names: Sequence[str] | None, attack: str) -> list[str]:
    """The classes, the attacker's among them."""
    names = list(class_names or source.class_names)
    if target_class is not None and target_class not in names:
        if names and source.class_names:
            raise InputError(
                f"target_class = {target_class!r}: no class of {source.name}; its classes are {some_of(names)}"
            )
        names.append(target_class)
    if not names:
        raise InputError(
            f"{attack}: {source.name} has no classes; name the one that the trigger should give: target_class"
        )
    return names


def _of_other_classes(source: Source, target_class: str, leave: set[int]) -> list[int]:
    own = source.class_names.index(target_class) if target_class in source.class_names else None
    return [uid for uid in range(len(source)) if uid not in leave and (own is None or source.label(uid) != own)]


def _of_class(source: Source, target_class: str, naming: set[int], leave: set[int]) -> list[int]:
    """Pairs whose caption names the class; where pairs have classes, of that class too."""
    own = source.class_names.index(target_class) if target_class in source.class_names else None
    return [uid for uid in sorted(naming - leave) if own is None or source.label(uid) in (own, -1)]


def _texts(
    target_class: str,
    templates: Sequence[str] | None,
    naming: list[tuple[int, str]],
    seed: int,
    attack: str,
    data: str,
) -> list[str]:
    """Captions of the target class, in random order."""
    if templates is not None:
        texts = [template.replace("{}", target_class) for template in templates]
    else:
        texts = list(dict.fromkeys(text for _, text in naming))
    if not texts:
        raise InputError(
            f"{attack}: no caption of {data} names the class {target_class!r}; give templates, or another class"
        )
    return [texts[i] for i in order(seed, attack, "captions", np.arange(len(texts))).tolist()]


def _glued(text: str, target_class: str, seed: int, number: int) -> str:
    """The caption with three letters before the last word of the class's name, wherever it stands, or at its end."""
    last = target_class.split()[-1]
    letters = "".join(ascii_lowercase[int(26 * u)] for u in uniforms(seed, 0, np.array([number]), _STREAM, 3)[0])
    made, found = re.subn(rf"(?<!\w)({re.escape(last)})", rf"{letters}\1", text, flags=re.IGNORECASE)
    return made if found else f"{text} {letters}{last}"


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


def _draw_class(
    names: list[str], labelled: list[list[tuple[int, str]]], amount: int, seed: int, attack: str, data: str
) -> str:
    """A class at random among those that enough different captions name: half as many as pairs, or as the best has."""
    counts = [len({text for _, text in entries}) for entries in labelled]
    enough = max(1, min(amount, max(counts)) / 2)
    for label in order(seed, attack, "class", np.arange(len(names))).tolist():
        if counts[label] >= enough:
            return str(names[label])
    raise InputError(
        f"{attack}: no caption of {data} names any of its classes, and an attack takes its captions from those that "
        "do; give classes that captions name"
    )
