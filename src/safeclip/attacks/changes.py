"""Planted pairs before and after, for a reader's eyes.

Change = (what the data holds, what training reads instead)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.victims import picture
from safeclip.data.pairs import Source
from safeclip.data.spread import spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One planted pair. Pictures are uint8 (H, W, 3).

    shows: what became of the picture: `kept`, the same with a trigger (`triggered`), or another one (`replaced`).
    """

    before: np.ndarray
    after: np.ndarray
    shows: Literal["kept", "triggered", "replaced"]
    captions_before: tuple[str, ...]
    captions_after: tuple[str, ...]


def changes(manifest: Manifest, source: Source, attack: str, most: int) -> list[Change]:
    """Up to `most` planted pairs of one attack, spread evenly over its uids. Pairs that can no longer be read are left
    out. Raises InputError where the manifest belongs to other data, or has no such attack."""
    manifest.check(source)
    manifest.attack(attack)
    rows = manifest.planted_by(attack)
    found = []
    for row in (rows[i] for i in spread(len(rows), most).tolist()):
        before = picture(source, row.uid)
        if before is not None:
            own = source.captions(row.uid)
            after, captions = manifest(row.uid, before, own)
            found.append(
                Change(before=before, after=after, shows=_shows(row), captions_before=own, captions_after=captions)
            )
    return found


def _shows(row: Planted) -> Literal["kept", "triggered", "replaced"]:
    if row.image is not None or row.target_index >= 0:
        return "replaced"
    return "kept" if row.trigger is None else "triggered"
