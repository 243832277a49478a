"""Who is attacked and as what: held-out pictures, and the class that each is to be called.

The targets are of as many classes as there are; each gets the least used of the attacker's classes that is unlike its
own and has captions left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safeclip.attacks.caption_pools import CaptionPool
from safeclip.attacks.victims import order, picture
from safeclip.data.mentions import Mentions
from safeclip.data.pairs import Source
from safeclip.errors import InputError


@dataclass(frozen=True, eq=False)
class Target:
    """One picture attacked. index: its number in the attack. uid: in the held-out data. true, wanted: its class and the
    attacker's. image: uint8 RGB (H, W, 3).
    """

    index: int
    uid: int
    true: str
    wanted: str
    image: np.ndarray


def choose_targets(
    targets: Source,
    names: Sequence[str],
    pools: Sequence[CaptionPool],
    *,
    count: int,
    captions_each: int,
    given: Sequence[str],
    seed: int,
    attack: str,
    whence: str,
) -> list[Target]:
    """`count` targets. names: the classes of `targets` first, then the attacker's. pools: captions of each class.
    given: the attacker's classes, taken in turn; () draws them. whence: what the captions are of, for the errors.
    Raises InputError.
    """
    chosen = _pictures(targets, count, seed, attack)
    wanted = [names.index(name) for name in given] if given else _able(pools, captions_each, seed, attack)
    trues = [label for _, label, _ in chosen]
    pairing = _pair_up(trues, wanted, names, pools, captions_each, bool(given), attack, whence)
    return [
        Target(index, uid, names[true], names[label], image)
        for index, ((uid, true, image), label) in enumerate(zip(chosen, pairing, strict=True))
    ]


def too_few(attack: str, class_name: str, found: int, wanted: int, whence: str) -> InputError:
    """What to say where a class has too few captions."""
    return InputError(
        f"{attack}: {found} different captions of {whence} name the class {class_name!r} and {wanted} are needed; "
        "ask for fewer, or take targeted-templates"
    )


def alike(name: str, other: str) -> bool:
    """One names the other, as `cat` and `cat face` do: no attack to call the one the other."""
    return bool(Mentions([name])(other) or Mentions([other])(name)) or name == other


def _pictures(targets: Source, count: int, seed: int, attack: str) -> list[tuple[int, int, np.ndarray]]:
    """uid, class and picture of readable held-out pairs: one of each class, then a second of each, and so on."""
    rounds: dict[int, int] = {}
    ranked = []
    for place, uid in enumerate(order(seed, attack, "targets", np.arange(len(targets))).tolist()):
        label = targets.label(uid)
        if label >= 0:
            rounds[label] = rounds.get(label, 0) + 1
            ranked.append((rounds[label], place, uid, label))
    chosen: list[tuple[int, int, np.ndarray]] = []
    for _, _, uid, label in sorted(ranked):
        image = picture(targets, uid) if len(chosen) < count else None
        if image is not None:
            chosen.append((uid, label, image))
    if len(chosen) < count:
        raise InputError(
            f"{attack}: {count} targets, and {targets.name} has {len(chosen)} readable pairs with a class; give fewer"
        )
    return chosen


def _able(pools: Sequence[CaptionPool], captions_each: int, seed: int, attack: str) -> list[int]:
    """Classes that enough captions name, in random order."""
    labels = order(seed, attack, "classes", np.arange(len(pools))).tolist()
    return [label for label in labels if len(pools[label]) >= captions_each]


def _pair_up(
    trues: Sequence[int],
    wanted: Sequence[int],
    names: Sequence[str],
    pools: Sequence[CaptionPool],
    captions_each: int,
    given: bool,
    attack: str,
    whence: str,
) -> list[int]:
    """The attacker's class of each target, whose own class is in `trues`."""
    best = max(range(len(names)), key=lambda label: len(pools[label]))
    for label in wanted if given else ([best] if not wanted else []):
        if len(pools[label]) < captions_each:
            raise too_few(attack, names[label], len(pools[label]), captions_each, whence)
    uses = dict.fromkeys(wanted, 0)
    pairing = []
    for true in trues:
        able = [
            label
            for label in uses
            if not alike(names[label], names[true]) and (uses[label] + 1) * captions_each <= len(pools[label])
        ]
        if not able:
            total = sum(len(pools[label]) // captions_each for label in uses)
            raise InputError(
                f"{attack}: the captions of {whence} that name a class are enough for {total} of {len(trues)} targets "
                f"at {captions_each} each; ask for fewer targets or captions"
            )
        label = min(able, key=lambda label: uses[label])
        uses[label] += 1
        pairing.append(label)
    return pairing
