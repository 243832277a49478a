"""Every attack by name: where it comes from, what it needs, and one way to plan it.

    plan("blended", train_pairs, held_out_pairs, seed=0, count=120) -> Manifest

An attack's parameters are plain numbers and texts, so that a command line, a YAML file and a manifest can hold them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from safeclip.attacks.attack import Attack
from safeclip.attacks.caption_attacks import CAPTION_ATTACKS
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.trigger_attacks import TRIGGER_ATTACKS
from safeclip.data.pairs import Source
from safeclip.errors import InputError

__all__ = ["ATTACKS", "Attack", "check_attack", "plan"]


def plan(
    attack: str,
    source: Source,
    targets: Source | None = None,
    *,
    seed: int = 0,
    avoid: Iterable[int] = (),
    title: str | None = None,
    **params: Any,
) -> Manifest:
    """Plan an attack on `source`.

    targets: held-out pairs with classes, for attacks that have target pictures. avoid: uids to leave alone. title: the
    name in the manifest, by default the attack's. params: of `ATTACKS[attack].params`; None is the default.
    Raises InputError on an unknown attack or parameter, or where it cannot be planned.
    """
    entry = check_attack(attack)
    settled = entry.settled(params)
    return entry.make(source, targets, seed=seed, avoid=avoid, name=title or attack, **settled)


def check_attack(name: str) -> Attack:
    """The attack of that name. Raises InputError where there is none."""
    if name not in ATTACKS:
        raise InputError(f"attack {name!r}: no such attack; there are {', '.join(ATTACKS)}")
    return ATTACKS[name]


ATTACKS: dict[str, Attack] = {attack.name: attack for attack in (*CAPTION_ATTACKS, *TRIGGER_ATTACKS)}
