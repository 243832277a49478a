"""Triggers: what a backdoor attack does to a picture (PAPER 4.2).

    badnets(x)[patch] = pattern, elsewhere x          Gu et al. 2017; Carlini & Terzis 2022 for CLIP

A trigger is pure: picture, parameters and draws in, another picture out, the same bits every time. Training and
evaluation call the same function, so that what is tested is what was planted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from safeclip.data.draws import uniforms
from safeclip.errors import InputError

TRIGGER_DRAWS = 2
"""Numbers in [0, 1) that a trigger reads for one picture."""
PLACES = ("random", "corner", "corners", "centre")
PATTERNS = ("checker", "dots", "noise", "white")
_CHECKER = np.array([[255, 0, 255], [0, 255, 0]], np.uint8)  # magenta, green: rare together in pictures


def badnets(
    image_HWC: np.ndarray,
    *,
    draws: np.ndarray,
    patch: float = 16 / 224,
    least: int = 3,
    place: str = "random",
    pattern: str = "checker",
    cells: int = 3,
) -> np.ndarray:
    """A copy of the picture with a square patch on it.

    image_HWC: uint8. draws: (TRIGGER_DRAWS,) in [0, 1). patch: the patch's side, as a share of the picture's short side
    (16 of 224 px in CleanCLIP). least: its smallest side in px. place: `random`, `corner` (bottom right), `corners`
    (all four), `centre`; always within the central square, which evaluation crops to. pattern: `checker` (cells x
    cells, magenta and green; an odd number is its own mirror image), `dots` (black, every 2nd px white), `noise` (drawn
    anew for each picture), `white`. Raises InputError on other values.
    """
    _check(_is_number(patch) and 0 < patch <= 1, "patch", patch, "give a share of the short side, above 0, up to 1")
    _check(_is_whole(least) and 1 <= least <= 4096, "least", least, "give a whole number of px, 1 to 4096")
    _check(_is_whole(cells) and 1 <= cells <= 64, "cells", cells, "give a whole number from 1 to 64")
    _check(place in PLACES, "place", place, f"give one of {', '.join(PLACES)}")
    _check(pattern in PATTERNS, "pattern", pattern, f"give one of {', '.join(PATTERNS)}")
    height, width = image_HWC.shape[:2]
    short = min(height, width)
    side = min(short, max(least, round(patch * short)))
    square = _pattern(pattern, side, cells, draws)
    top, left, slack = (height - short) // 2, (width - short) // 2, short - side
    spots = {
        "random": [(int(draws[0] * (slack + 1)), int(draws[1] * (slack + 1)))],
        "corner": [(slack, slack)],
        "corners": [(0, 0), (0, slack), (slack, 0), (slack, slack)],
        "centre": [(slack // 2, slack // 2)],
    }[place]
    stamped: np.ndarray = image_HWC.copy()
    for y, x in spots:
        stamped[top + y : top + y + side, left + x : left + x + side] = square
    return stamped


TRIGGERS: dict[str, Callable[..., np.ndarray]] = {"badnets": badnets}
"""Every trigger by name: f(image_HWC, *, draws, **params) -> image_HWC."""


@dataclass(frozen=True)
class Trigger:
    """A trigger's name and parameters, as a manifest holds them. Raises InputError on any that it cannot use."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.name in TRIGGERS, "name", self.name, f"give one of {', '.join(TRIGGERS)}")
        self(np.zeros((8, 8, 3), np.uint8), 0, 0)  # speaks up about the parameters now, not in the middle of a run

    def __call__(self, image_HWC: np.ndarray, seed: int, uid: int, stream: int = 0) -> np.ndarray:
        """The picture with the trigger; what is random in it depends on seed, uid and stream alone."""
        draws = uniforms(seed, 0, np.array([uid], np.int64), _STREAM + stream, TRIGGER_DRAWS)[0]
        try:
            return TRIGGERS[self.name](image_HWC, draws=draws, **self.params)
        except TypeError:
            raise InputError(
                f"trigger {self.name}: cannot use the parameters {sorted(self.params)}; see its docstring"
            ) from None

    def to_json(self) -> str:
        return json.dumps({"name": self.name, "params": self.params}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Trigger:
        """Raises InputError on anything that to_json did not write."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"trigger {text[:60]!r}: is no JSON; write it as Trigger.to_json does") from None
        if not isinstance(value, dict) or value.keys() != {"name", "params"} or not isinstance(value["params"], dict):
            raise InputError(f"trigger {text[:60]!r}: give an object of name and params")
        if not isinstance(value["name"], str):
            raise InputError(f"trigger.name = {value['name']!r}: give one of {', '.join(TRIGGERS)}")
        return cls(value["name"], value["params"])


_STREAM = 0xBAD0  # keeps triggers' draws apart from views'; evaluation adds 1


def _pattern(pattern: str, side: int, cells: int, draws: np.ndarray) -> np.ndarray:
    """uint8 (side, side, 3)."""
    at = np.arange(side)
    if pattern == "checker":
        cell = at * cells // side
        return np.asarray(_CHECKER[(cell[:, None] + cell[None, :]) % 2])
    if pattern == "dots":
        dots = (at[:, None] % 2 == 0) & (at[None, :] % 2 == 0)
        return np.repeat(np.where(dots, 255, 0).astype(np.uint8)[:, :, None], 3, axis=2)
    if pattern == "noise":
        bits = uniforms(int(draws[0] * 2**52), int(draws[1] * 2**52), np.arange(side * side), _STREAM, 3)
        return (bits * 256).astype(np.uint8).reshape(side, side, 3)
    return np.full((side, side, 3), 255, np.uint8)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(ok: bool, name: str, value: object, mend: str) -> None:
    if not ok:
        raise InputError(f"trigger.{name} = {value!r}: {mend}")
