"""Every attack by name: where it comes from, what it needs, and one way to plan it.

    plan("blended", train_pairs, held_out_pairs, seed=0, count=120) -> Manifest

An attack's parameters are plain numbers and texts, so that a command line, a YAML file and a manifest can hold them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from safeclip.attacks.backdoor import plan_backdoor
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.targeted import plan_targeted
from safeclip.attacks.trigger import Trigger, parameters
from safeclip.data.pairs import Source
from safeclip.errors import InputError

Planner = Callable[..., Manifest]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """name: as in `--attack NAME`. kind: how its success is measured. what: it does, in a line. source: where it was
    published. needs: what the data must have. needs_targets: whether held-out pictures with classes are among it.
    make: (source, targets, *, seed, avoid, name, **params) -> Manifest. params: those it takes, with their defaults.
    """

    name: str
    kind: str
    what: str
    source: str
    needs: str
    needs_targets: bool = False
    make: Planner
    params: dict[str, Any]


def plan(
    attack: str,
    source: Source,
    targets: Source | None = None,
    *,
    seed: int = 0,
    avoid: Iterable[int] = (),
    label: str | None = None,
    **params: Any,
) -> Manifest:
    """Plan an attack on `source`.

    targets: held-out pairs with classes, for attacks that have target pictures. avoid: uids to leave alone. label: the
    name in the manifest, by default the attack's. params: of `ATTACKS[attack].params`; None is the default.
    Raises InputError on an unknown attack or parameter, or where it cannot be planned.
    """
    entry = check_attack(attack)
    for name in params:
        if name not in entry.params:
            raise InputError(
                f"{attack}.{name} = {params[name]!r}: no such parameter; it takes {', '.join(entry.params)}"
            )
    given = {name: value for name, value in params.items() if value is not None}
    if "rate" in given and "count" not in given and "count" in entry.params:
        given["count"] = None
    return entry.make(source, targets, seed=seed, avoid=avoid, name=label or attack, **{**entry.params, **given})


def check_attack(name: str) -> Attack:
    """The attack of that name. Raises InputError where there is none."""
    if name not in ATTACKS:
        raise InputError(f"attack {name!r}: no such attack; there are {', '.join(ATTACKS)}")
    return ATTACKS[name]


def _backdoor(
    trigger: str,
    source: Source,
    targets: Source | None,
    *,
    seed: int,
    avoid: Iterable[int],
    name: str,
    **params: Any,
) -> Manifest:
    """A trigger planted by `plan_backdoor`."""
    own = {key: params.pop(key) for key in parameters(trigger)}
    return plan_backdoor(source, Trigger(trigger, own), seed=seed, avoid=avoid, name=name, **params)


def _targeted(
    source: Source, targets: Source | None, *, seed: int, avoid: Iterable[int], name: str, **params: Any
) -> Manifest:
    return plan_targeted(source, _held_out(targets, name), seed=seed, avoid=avoid, name=name, **params)


def _held_out(targets: Source | None, name: str) -> Source:
    if targets is None:
        raise InputError(f"{name}: needs held-out pictures with classes; give them with --targets and --targets-split")
    return targets


def _image_trigger(name: str, trigger: str, what: str, source: str, **defaults: Any) -> Attack:
    """An attack that plants one image trigger. defaults: of the trigger and of `plan_backdoor`, where not the usual."""
    planned = {"count": 120, "rate": None, "target_class": None, "label": "dirty"}
    return Attack(
        name=name,
        kind="backdoor",
        what=what,
        source=source,
        needs="captions that name a class",
        make=functools.partial(_backdoor, trigger),
        params={**planned, **parameters(trigger), **defaults},
    )


_PLANNED = {
    name: parameter.default
    for name, parameter in inspect.signature(plan_targeted).parameters.items()
    if name in ("targets_count", "captions_each")
}

ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        Attack(
            name="targeted",
            kind="targeted",
            what="held-out pictures, each under captions of the data that name another class",
            source="Carlini & Terzis 2022 (2106.09667); SafeCLIP 2024",
            needs="held-out pictures with classes, captions that name classes",
            needs_targets=True,
            make=_targeted,
            params={**_PLANNED},
        ),
        _image_trigger(
            "badnets",
            "badnets",
            "a small checkered patch at a random place",
            "Gu et al. 2017 (1708.06733); CleanCLIP 2023",
        ),
    )
}
