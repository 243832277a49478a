"""Targeted poisoning: chosen pictures are to be called by the attacker's class (Carlini & Terzis 2022).

    for each target picture t, of class a: pairs (t, caption) with captions that name the class b != a

The targets come from held-out data, so that a defended model has never seen them with their own captions. The planted
pairs replace others, never those whose captions they borrow. What a cleverer attacker does beyond that is a `Craft`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from safeclip.attacks.caption_pools import CaptionPool, Pools, corpus_pools
from safeclip.attacks.manifest import Manifest, Planted, to_png
from safeclip.attacks.targets import Target, choose_targets, too_few
from safeclip.attacks.victims import choose_victims
from safeclip.data.pairs import Source
from safeclip.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Craft:
    """What an attack does beyond planting the target under random captions. Each part is a pure function."""

    pools: Pools = corpus_pools
    """Captions to choose among."""
    liking: Callable[[Target, Sequence[str]], np.ndarray] | None = None
    """(target, captions) -> float (N,): captions of the highest are taken first. None: a random draw."""
    wording: Callable[[Target, str], str] | None = None
    """(target, caption) -> the caption planted. None: as it is."""
    showing: Callable[[Target, Sequence[str]], list[np.ndarray]] | None = None
    """(target, its planted captions) -> the picture planted under each. None: the target picture, every time."""
    asking: Callable[[Target], np.ndarray] | None = None
    """target -> the picture that success is measured on. None: the target picture itself."""
    params: dict[str, Any] = field(default_factory=dict)
    """What the manifest says of it."""


def plan_targeted(
    source: Source,
    targets: Source,
    *,
    targets_count: int = 16,
    captions_each: int = 12,
    seed: int = 0,
    target_classes: Sequence[str] | None = None,
    avoid: Iterable[int] = (),
    name: str = "targeted",
    craft: Craft | None = None,
) -> Manifest:
    """Plan targets_count x captions_each planted pairs in `source`.

    targets: held-out pairs with classes; the target pictures are drawn from them, of as many classes as there are.
    captions_each: distinct captions for each target. target_classes: the attacker's classes, taken in turn; by default
    drawn from `targets.class_names` among those that enough captions name. avoid: uids to leave alone. craft: by
    default the data's own captions, in random order, under the target picture.
    Raises InputError where there are no classes, or too few captions, targets or pairs.
    """
    craft = craft or Craft()
    for what, value in (("targets_count", targets_count), ("captions_each", captions_each)):
        if value < 1:
            raise InputError(f"{what} = {value}: give 1 or more")
    names = list(dict.fromkeys([*targets.class_names, *(target_classes or ())]))
    if not targets.class_names:
        raise InputError(
            f"{name}: {targets.name} has no classes to draw targets of; give target pictures with a class column"
        )
    pools = craft.pools(source, names, seed, name)
    whence = source.name if craft.pools is corpus_pools else "the templates"
    chosen = choose_targets(
        targets,
        names,
        pools,
        count=targets_count,
        captions_each=captions_each,
        given=target_classes or (),
        seed=seed,
        attack=name,
        whence=whence,
    )
    borrowed: set[int] = {int(uid) for uid in avoid}
    taken: set[str] = set()
    plan: list[tuple[Target, str, bytes | None]] = []
    for target in chosen:
        pool = [(uid, text) for uid, text in pools[names.index(target.wanted)] if text not in taken]
        fresh = _best(target, pool, craft)[:captions_each]
        if len(fresh) < captions_each:
            raise too_few(name, target.wanted, len(fresh), captions_each, whence)
        taken.update(text for _, text in fresh)
        borrowed.update(uid for uid, _ in fresh)
        plan += _planted(target, [text for _, text in fresh], craft)
    free = np.setdiff1d(np.arange(len(source)), np.fromiter(borrowed, np.int64))
    victims = choose_victims(source, free, len(plan), seed=seed, name=name)
    planted = [
        Planted(uid, name, caption=text, caption_before=source.captions(uid), image=image, target_index=target.index)
        for uid, (target, text, image) in zip(victims, plan, strict=True)
    ]
    about = {
        "name": name,
        "kind": "targeted",
        "target_class": None,
        "class_names": names,
        "seed": seed,
        "count": len(planted),
        "rate": len(planted) / len(source),
        "params": {"targets_count": targets_count, "captions_each": captions_each, **craft.params},
        "targets": [
            {"index": t.index, "true": t.true, "target": t.wanted, "uid": t.uid, "source": targets.fingerprint}
            for t in chosen
        ],
    }
    asked = {(name, t.index): to_png(t.image if craft.asking is None else craft.asking(t)) for t in chosen}
    return Manifest.of(source, about, planted, asked)


def _best(target: Target, pool: CaptionPool, craft: Craft) -> CaptionPool:
    """The pool, what the attacker likes best first; ties stay in the pool's own, random order."""
    if craft.liking is None or not pool:
        return pool
    liking = craft.liking(target, [text for _, text in pool])
    return [pool[i] for i in np.argsort(-liking, kind="stable").tolist()]


def _planted(target: Target, texts: list[str], craft: Craft) -> list[tuple[Target, str, bytes | None]]:
    """Each planted caption of a target with its own picture, None where that is the target picture."""
    if craft.wording is not None:
        texts = [craft.wording(target, text) for text in texts]
    if craft.showing is None:
        return [(target, text, None) for text in texts]
    return [(target, text, to_png(image)) for text, image in zip(texts, craft.showing(target, texts), strict=True)]
