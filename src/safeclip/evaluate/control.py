"""The control of a trigger: what the same attack would have scored had the attacker wanted another class.

A trigger hides a picture, or makes it look like something else, also to a model that never saw it; and what such a
model says then is often one and the same class, whichever that is. The base rate, taken without the trigger, knows
nothing of it. So every class is asked what the target class is asked: which share of the triggered pictures that are
not of it are called it. Where the attack did nothing, its target is one class among these, and as targets are drawn
without knowing the model, place / classes is the chance of standing so high: a randomization test (Fisher 1935).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.evaluate.evaluated import Evaluated


def control(
    clean: Evaluated, rows: np.ndarray, called_N: Tensor, strict_N: Tensor, target: int
) -> dict[str, Any] | None:
    """Where the target class stands among all, by the share of triggered pictures (or captions) called each.

    rows: those tried, (N,) into `clean`, none of the target class. called_N: the class each is called with the trigger.
    strict_N: whether that class is ahead of every other. Returns `place` (1 for the class called most; where others are
    level with the target, the lowest of their places), `classes`, and of the other classes the one called most:
    `most_class`, `most_asr`. None where the own class of one tried is not known: to be called that is no success.
    """
    labels_N = clean.labels_N[rows]
    if (labels_N < 0).any():
        return None
    classes = len(clean.class_names)
    wrong_N = called_N[strict_N & (called_N != torch.from_numpy(labels_N))]
    hits_C = np.bincount(wrong_N.numpy(), minlength=classes)
    tried_C = len(rows) - np.bincount(labels_N, minlength=classes)
    asr_C = hits_C / np.maximum(tried_C, 1)
    others_C = np.arange(classes) != target
    most = int(np.where(others_C, asr_C, -1.0).argmax())
    return {
        "place": 1 + int((asr_C[others_C] >= asr_C[target]).sum()),
        "classes": classes,
        "most_class": clean.class_names[most],
        "most_asr": float(asr_C[most]),
    }
