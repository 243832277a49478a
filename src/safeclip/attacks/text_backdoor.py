"""A backdoor in the text tower: any text with the trigger finds pictures of one class (ToxicTextCLIP, 2511.00446).

    (x of the target class, its caption) -> (x, trigger(a caption of another class))

The pictures stay as they are. Later a caption of anything at all, with the trigger in it, lies nearest to pictures of
the target class.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from safeclip.attacks.classes import Classed, how_many
from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.text_trigger import TextTrigger
from safeclip.attacks.victims import choose_victims, order
from safeclip.data.mentions import Mentions, corpus
from safeclip.data.pairs import Source
from safeclip.errors import InputError


def plan_text_backdoor(
    source: Source,
    trigger: TextTrigger,
    *,
    count: int | None = None,
    share: float | None = None,
    target_class: str | None = None,
    seed: int = 0,
    avoid: Iterable[int] = (),
    name: str = "text-word",
) -> Manifest:
    """Give `count` pairs of the target class, or a share of them, other classes' captions with the trigger put in.

    Captions are the data's own, of pairs that are not of the target class and that do not name it, drawn without
    replacement, again and again where there are fewer than pairs. target_class: drawn from the seed by default, among
    those with many pairs. avoid: uids to leave alone. Raises InputError where this cannot be done.
    """
    classed = Classed(source, (target_class,), name)
    if target_class is None:
        target_class = classed.names[classed.draw([len(uids) for uids in classed.uids], seed, "class")]
    own = classed.uids[classed.index(target_class)]
    leave = {int(uid) for uid in avoid}
    free = [uid for uid in own if uid not in leave]
    amount = how_many(count, share, len(free), f"the class {target_class!r}")
    texts = _of_others(source, target_class, set(own))
    if not texts:
        raise InputError(f"{name}: every caption of {source.name} is of the class {target_class!r}; give another class")
    texts = [texts[i] for i in order(seed, name, "captions", np.arange(len(texts))).tolist()]
    victims = choose_victims(source, free, amount, seed=seed, name=name)
    planted = [
        Planted(uid, name, trigger(texts[i % len(texts)], seed, uid), source.captions(uid))
        for i, uid in enumerate(victims)
    ]
    about = {
        "name": name,
        "kind": "text",
        "target_class": target_class,
        "class_names": classed.names,
        "text_trigger": trigger.to_value(),
        "seed": seed,
        "count": len(planted),
        "rate": len(planted) / len(source),
        "params": {**trigger.to_value(), "share": len(planted) / len(free)},
    }
    return Manifest.of(source, about, planted)


def _of_others(source: Source, target_class: str, own: set[int]) -> list[str]:
    """Distinct captions of pairs that are not of the target class, and that do not name it."""
    named = Mentions([target_class])
    return list(dict.fromkeys(c for uid, texts in corpus(source) if uid not in own for c in texts if not named(c)))
