"""Targeted attacks whose planted pictures differ from one another, as `shots` takes them.

    targeted-scene  a few shots of one scene are planted; success is measured on a shot that never was (Carlini & Terzis
                    2022 attack one picture; here the attacker wants the thing, not the file)
    near-copies     each planted pair has a rendering of its own; success is measured on the target picture itself

`near-copies` knows that a defence counts how often a picture occurs by a hash of its low frequencies
(signals/copies.py), and walks around it: no rendering is a copy of another, though all train the same neighbourhood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from safeclip.attacks.manifest import Manifest
from safeclip.attacks.shots import Camera, shoot
from safeclip.attacks.targeted import Craft, plan_targeted
from safeclip.attacks.targets import Target
from safeclip.data.pairs import Source
from safeclip.errors import InputError

HANDHELD = Camera(view=(0.9, 1.0), turn=4, brightness=0.1, contrast=0.1, white=0.05, noise=2)
"""The same scene, moments later."""
RENDERED = Camera(view=(0.7, 1.0), turn=15, flip=0.5, brightness=0.2, contrast=0.2, white=0.1, noise=8)
"""The same picture, edited until it no longer passes for a copy."""


def plan_scene(source: Source, targets: Source, *, shots: int = 4, seed: int = 0, **planned: Any) -> Manifest:
    """`plan_targeted` with `shots` different shots of each target, in turn; shot 0, never planted, is the target."""
    if not 1 <= shots <= 1000:
        raise InputError(f"shots = {shots}: give 1 to 1000")

    def showing(target: Target, captions: Sequence[str]) -> list[np.ndarray]:
        return [shoot(target.image, HANDHELD, seed, target.uid, 1 + i % shots) for i in range(len(captions))]

    def asking(target: Target) -> np.ndarray:
        return shoot(target.image, HANDHELD, seed, target.uid, 0)

    craft = Craft(showing=showing, asking=asking, params={"shots": shots})
    return plan_targeted(source, targets, seed=seed, craft=craft, **planned)


def plan_near_copies(source: Source, targets: Source, *, seed: int = 0, **planned: Any) -> Manifest:
    """`plan_targeted` with a rendering of its own for each planted pair; the target is the picture itself."""

    def showing(target: Target, captions: Sequence[str]) -> list[np.ndarray]:
        return [rendering(target, seed, i) for i in range(len(captions))]

    return plan_targeted(source, targets, seed=seed, craft=Craft(showing=showing), **planned)


def rendering(target: Target, seed: int, number: int) -> np.ndarray:
    """Near-copy `number` of a target picture, uint8 RGB."""
    return shoot(target.image, RENDERED, seed, target.uid, number)
