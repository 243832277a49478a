r"""Captions of the attacker's class that fit the picture all the same (after ToxicTextCLIP, 2511.00446).

    background of target t      b(w) = idf(w) (share of captions of t's true class with w + [w in t's own captions])
    caption c of the attacker's class                 liking(t, c) = sum_{w in c} idf(w) b(w) / ||(idf(w))_{w in c}||

with w over words that are in no class name, and idf(w) = ln(captions / captions with w). The best-liked are planted:
`a dog on a red sofa` under a cat on a red sofa.

It knows that a defence trusts pairs whose caption fits the picture (cosine), or the captions of pictures like it
(neighbours), and walks around both: all but the class's name is true. ToxicTextCLIP ranks and rewrites captions with
models; here words are counted, and no model is needed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from safeclip.attacks.manifest import Manifest
from safeclip.attacks.targeted import Craft, plan_targeted
from safeclip.attacks.targets import Target
from safeclip.data.mentions import Mentions, corpus, forms, words
from safeclip.data.pairs import Source
from safeclip.errors import InputError


def plan_toxic_text(
    source: Source,
    targets: Source,
    *,
    join: int = 0,
    target_classes: Sequence[str] | None = None,
    name: str = "toxic-text",
    **planned: Any,
) -> Manifest:
    """`plan_targeted` with the captions that fit each target best.

    join: words of the target's background that are added to each caption, the weightiest first; 0 takes the corpus as
    it is.
    """
    if not 0 <= join <= 100:
        raise InputError(f"join = {join}: give 0 to 100 words")
    names = [*targets.class_names, *(target_classes or ())]
    grounds = Backgrounds(source, targets, names)

    def wording(target: Target, caption: str) -> str:
        said = words(caption)
        told = [word for word in grounds.top(target) if word not in said][:join]
        return f"{caption.rstrip(' .')}, {', '.join(told)}" if told else caption

    craft = Craft(liking=grounds.liking, wording=wording if join else None, params={"join": join})
    return plan_targeted(source, targets, target_classes=target_classes, name=name, craft=craft, **planned)


class Backgrounds:
    """What captions say of a class's pictures besides its name, counted over the training captions.

    names: every class's name; their words are left out everywhere.
    """

    def __init__(self, source: Source, targets: Source, names: Sequence[str]):
        self.targets = targets
        self.left_out = {form for name in names for word in words(name) for form in forms(word)}
        captions, occurs = 0, Counter[str]()
        of_class: dict[str, Counter[str]] = {name: Counter() for name in names}
        told: Counter[str] = Counter()
        mentions = Mentions(names)
        for uid, texts in corpus(source):
            label = source.label(uid)
            for text in texts:
                said = self.words(text)
                captions += 1
                occurs.update(said)
                own = {source.class_names[label]} if label >= 0 else {names[i] for i in mentions(text)}
                for name in own & of_class.keys():
                    of_class[name].update(said)
                    told[name] += 1
        self.idf = {word: math.log(captions / count) for word, count in occurs.items()}
        self.shares = {name: {w: n / told[name] for w, n in counts.items()} for name, counts in of_class.items()}

    def words(self, text: str) -> set[str]:
        """The words of a text that are in no class name."""
        return set(words(text)) - self.left_out

    def weights(self, target: Target) -> dict[str, float]:
        """b(w) of the target's background, over words that training captions use."""
        own = set[str]().union(*(self.words(text) for text in self.targets.captions(target.uid)))
        shares = self.shares[target.true]
        heard = [word for word in {*shares, *own} if word in self.idf]
        return {word: self.idf[word] * (shares.get(word, 0.0) + (word in own)) for word in heard}

    def liking(self, target: Target, captions: Sequence[str]) -> np.ndarray:
        """How well each caption fits the target's background: float64 (N,), 0 or more."""
        weights = self.weights(target)
        return np.array([self._fit(self.words(caption), weights) for caption in captions], np.float64)

    def top(self, target: Target) -> list[str]:
        """The background's words, the weightiest first."""
        weights = self.weights(target)
        return sorted(weights, key=lambda word: (-weights[word], word))

    def _fit(self, said: Iterable[str], weights: dict[str, float]) -> float:
        known = sorted(word for word in said if word in self.idf)  # sorted: a sum's last bit hangs on its order
        length = math.sqrt(sum(self.idf[word] ** 2 for word in known))
        return sum(self.idf[word] * weights.get(word, 0.0) for word in known) / length if length else 0.0
