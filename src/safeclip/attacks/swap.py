"""Class swap: pictures of one class under captions of another (mmPoison's single label: Yang et al. ICML 2023).

    (x of class A, its caption) -> (x, a caption that names class B)        for a share of class A's pairs

No picture is chosen: every picture of class A is to be called B, also those that the attacker never saw.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from safeclip.attacks.classes import Classed, how_many
from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.targets import alike
from safeclip.attacks.victims import choose_victims, order
from safeclip.data.mentions import Mentions
from safeclip.data.pairs import Source
from safeclip.errors import InputError


def plan_swap(
    source: Source,
    *,
    count: int | None = None,
    share: float | None = None,
    from_class: str | None = None,
    target_class: str | None = None,
    seed: int = 0,
    avoid: Iterable[int] = (),
    name: str = "class-swap",
) -> Manifest:
    """Give `count` pairs of `from_class`, or a share of them, captions of the data's own that name `target_class`.

    Pairs and captions that name both classes have no part in it. Captions are drawn without replacement, again and
    again where there are fewer than pairs. Classes that are not given are drawn from the seed, among those with many
    pairs and captions. avoid: uids to leave alone. Raises InputError where this cannot be done.
    """
    classed = Classed(source, (from_class, target_class), name)
    if from_class is None:
        likely = [min(len(uids), len(texts)) for uids, texts in zip(classed.uids, classed.texts, strict=True)]
        unlike = [target_class is None or not alike(one, target_class) for one in classed.names]
        from_class = classed.names[classed.draw([n * ok for n, ok in zip(likely, unlike, strict=True)], seed, "from")]
    if target_class is None:
        told = [len({text for _, text in texts}) for texts in classed.texts]
        unlike = [not alike(one, from_class) for one in classed.names]
        target_class = classed.names[classed.draw([n * ok for n, ok in zip(told, unlike, strict=True)], seed, "target")]
    if alike(from_class, target_class):
        raise InputError(f"from_class = {from_class!r}, target_class = {target_class!r}: give two that are not alike")
    named, own = Mentions([target_class]), Mentions([from_class])
    leave = {int(uid) for uid in avoid}
    free = [uid for uid in classed.uids[classed.index(from_class)] if uid not in leave]
    free = [uid for uid in free if not named.any_of(source.captions(uid))]
    texts = list(dict.fromkeys(text for _, text in classed.texts[classed.index(target_class)] if not own(text)))
    if not texts:
        raise InputError(f"{name}: no caption of {source.name} names the class {target_class!r}; give another one")
    texts = [texts[i] for i in order(seed, name, "captions", np.arange(len(texts))).tolist()]
    amount = how_many(count, share, len(free), f"the class {from_class!r}")
    victims = choose_victims(source, free, amount, seed=seed, name=name)
    planted = [
        Planted(uid, name, caption=texts[i % len(texts)], caption_before=source.captions(uid))
        for i, uid in enumerate(victims)
    ]
    about = {
        "name": name,
        "kind": "swap",
        "from_class": from_class,
        "target_class": target_class,
        "class_names": classed.names,
        "seed": seed,
        "count": len(planted),
        "rate": len(planted) / len(source),
        "params": {"share": len(planted) / len(free), "captions": "corpus"},
    }
    return Manifest.of(source, about, planted)
