"""Whether two splits are one: data without splits is taken whole, whatever the split."""

from __future__ import annotations

import numpy as np

from safeclip.data.pairs import BadPair, Source
from safeclip.data.spread import spread


def same_pictures(one: Source, other: Source) -> bool:
    """Whether they hold the same pictures, judged by their number and by 16 spread over them."""
    if len(one) != len(other):
        return False
    uids = spread(len(one), 16).tolist()
    return all(one.label(uid) == other.label(uid) and _picture(one, uid) == _picture(other, uid) for uid in uids)


def _picture(source: Source, uid: int) -> bytes | str:
    """The picture's bytes, or why there are none."""
    try:
        image = source[uid].image
    except BadPair as bad:
        return str(bad)
    return image.tobytes() if isinstance(image, np.ndarray) else image
