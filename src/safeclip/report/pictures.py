"""The pictures attacked, as data URIs: targets from the manifest, triggered ones from the data they were evaluated on.

What must stay true: a picture shown with a trigger is the one that was evaluated, to the bit: the same draws, the same
patch. A picture that cannot be had is None, and the page says so.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from PIL import Image

from safeclip.attacks.manifest import Manifest, to_png
from safeclip.config import DataConfig, from_dict
from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair, Source
from safeclip.data.sources import READ_BY, open_pairs
from safeclip.errors import InputError
from safeclip.report.facts import Run
from safeclip.report.words import mapping

SIDE = 192
"""Longest side on the page, in px; larger pictures are scaled down."""


def data_uri(image_HWC: np.ndarray) -> str:
    """uint8 RGB as a PNG data URI, no side longer than SIDE."""
    picture = Image.fromarray(image_HWC)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return "data:image/png;base64," + base64.b64encode(to_png(np.asarray(picture))).decode("ascii")


def targets(manifest: Manifest, attack: str) -> dict[int, str]:
    """Target index -> picture; none where the manifest's pictures cannot be decoded, and the page says so at each."""
    about = manifest.attack(attack).get("targets", [])
    try:
        shown = manifest.targets(attack)
    except BadPair:
        return {}
    return {t["index"]: data_uri(image) for t, (image, _, _) in zip(about, shown, strict=True)}


class Triggered:
    """Clean and triggered pictures of a backdoor, by the uid that metrics.json gives as `index`."""

    def __init__(self, run: Run, manifest: Manifest | None, attack: str):
        self.manifest, self.attack = manifest, attack
        self.source = None if manifest is None else _evaluated(run)

    def pair(self, uid: object) -> tuple[str | None, str | None]:
        """Clean and triggered picture; None for one that cannot be had."""
        if self.source is None or self.manifest is None or not isinstance(uid, int):
            return None, None
        if not 0 <= uid < len(self.source):
            return None, None
        try:
            image = decode(self.source[uid].image, max_pixels=DataConfig().max_pixels)
            return data_uri(image), data_uri(self.manifest.shown(self.attack, uid, image))
        except (BadPair, InputError):
            return None, None


def _far(spec: str) -> bool:
    """Whether the data may lie on the network, without which a page is written."""
    kind, _, name = spec.partition(":")
    return "://" in spec or (kind == "hf" and not Path(name).is_dir())


def _evaluated(run: Run) -> Source | None:
    """The data the run was evaluated on, where it can still be opened."""
    data, evaluated = run.section("data"), run.metric("data")
    spec, split = evaluated.get("spec", data.get("spec")), evaluated.get("split", data.get("eval_split"))
    if not isinstance(spec, str) or not isinstance(split, str) or _far(spec):
        return None
    told = mapping(evaluated.get("read_by", data))
    read_by = {name: told[name] for name in READ_BY if name in told}
    try:
        return open_pairs(from_dict(DataConfig, {"spec": spec, "split": split, **read_by}))
    except (InputError, OSError):
        return None
