"""What each attack of the catalog does to a few of the built-in pairs.

Image triggers are shown on the same pictures, so that they can be compared; of other attacks, pairs that they plant.
"""

from __future__ import annotations

from safeclip.attacks.attack import Attack
from safeclip.attacks.changes import Change, changes
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.victims import picture
from safeclip.data.sources import open_source

_PICTURES = (33, 38, 65, 23)  # unlike each other, and none of the class that the triggers are to mean
_AMOUNTS = {"targets_count": 2, "captions_each": 2, "count": 4, "shots": 2}
_SEED = 0


class Samples:
    """Plans each attack on a small part of the built-in data. size: side of its pictures, in px."""

    def __init__(self, size: int = 40):
        spec = f"emoji:concepts=12,pairs=240,eval_pairs=60,size={size}"
        self.source, self.held_out = open_source(spec), open_source(spec, split="test")
        self.target_class = self.source.class_names[0]

    def __call__(self, attack: Attack, most: int = 4) -> list[Change]:
        """Up to `most` pairs; none for an attack that needs a model of its own."""
        if "model" in attack.params:
            return []
        wanted = {**_AMOUNTS, "target_class": self.target_class}
        settled = attack.settled({name: value for name, value in wanted.items() if name in attack.params})
        targets = self.held_out if attack.needs_targets else None
        manifest = attack.make(self.source, targets, seed=_SEED, avoid=(), name=attack.name, **settled)
        if settled.get("label") == "dirty":
            return self._on_the_same_pictures(manifest, most)
        return changes(manifest, self.source, attack.name, most)

    def _on_the_same_pictures(self, manifest: Manifest, most: int) -> list[Change]:
        """The trigger and the captions of the manifest's rows."""
        found = []
        for uid, row in zip(_PICTURES[:most], manifest.planted, strict=False):
            before, own = picture(self.source, uid), self.source.captions(uid)
            if before is not None and row.trigger is not None:
                after = row.trigger(before, _SEED, uid)
                found.append(
                    Change(
                        before=before,
                        after=after,
                        shows="triggered",
                        captions_before=own,
                        captions_after=own if row.caption is None else (row.caption,),
                    )
                )
        return found
