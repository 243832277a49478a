"""A trigger as a manifest holds it: a name and parameters, and the draws that make it reproducible.

planted(x) = TRIGGERS[name](x; params, draws(seed, uid, stream))
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from safeclip.attacks.triggers import TRIGGERS
from safeclip.attacks.triggers.checks import check
from safeclip.data.draws import uniforms
from safeclip.errors import InputError

TRIGGER_DRAWS = 2
"""Numbers in [0, 1) that a trigger is given for one picture."""
_STREAM = 0xBAD0  # keeps triggers' draws apart from views'; evaluation adds 1


@dataclass(frozen=True)
class Trigger:
    """A trigger's name and parameters. Raises InputError on any that it cannot use."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self.name in TRIGGERS, "name", self.name, f"give one of {', '.join(TRIGGERS)}")
        known = parameters(self.name)
        for name in self.params:
            check(name in known, "params", name, f"{self.name} takes {', '.join(known)}")
        self(np.zeros((8, 8, 3), np.uint8), 0, 0)  # speaks up about the values now, not in the middle of a run

    def __call__(self, image_HWC: np.ndarray, seed: int, uid: int, stream: int = 0) -> np.ndarray:
        """The picture with the trigger; what is random in it depends on seed, uid and stream alone."""
        draws = uniforms(seed, 0, np.array([uid], np.int64), _STREAM + stream, TRIGGER_DRAWS)[0]
        return TRIGGERS[self.name](image_HWC, draws=draws, **self.params)

    def at_full_strength(self) -> Trigger:
        """As a test shows it: one whose strength is drawn for each picture, always at its greatest."""
        if "weakest" not in parameters(self.name):
            return self
        everything = parameters(self.name) | self.params
        return Trigger(self.name, everything | {"weakest": everything["alpha"]})

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


def parameters(name: str) -> dict[str, Any]:
    """What the trigger `name` can be given, with its defaults."""
    taken = inspect.signature(TRIGGERS[name]).parameters.items()
    return {parameter: about.default for parameter, about in taken if parameter not in ("image_HWC", "draws")}
