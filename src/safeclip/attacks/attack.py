"""What the catalog says of an attack, and the check of what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from safeclip.attacks.manifest import Manifest
from safeclip.errors import InputError

Planner = Callable[..., Manifest]

_AMOUNTS = ("count", "rate", "share")
"""Ways to say how many pairs; one that is given takes the place of the others' defaults."""
_UNSET: dict[str, type] = {
    "count": int,
    "rate": float,
    "share": float,
    "target_class": str,
    "from_class": str,
    "model": str,
    "architecture": str,
}
"""What parameters are whose default is None."""
_SAYS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "text, a number in quotes",
    bool: "true or false",
}


@dataclass(frozen=True, kw_only=True)
class Attack:
    """name: as in `--attack NAME`. kind: how its success is measured. what: it does, in a line. source: where it was
    published. needs: what the data must have. needs_targets: whether held-out pictures with classes are among it.
    make: (source, targets, *, seed, avoid, name, **params) -> Manifest. params: those it takes, with their defaults.
    """

    name: str
    kind: str
    what: str
    source: str
    needs: str
    needs_targets: bool = False
    make: Planner
    params: dict[str, Any]

    def settled(self, params: dict[str, Any]) -> dict[str, Any]:
        """Every parameter: as given where that is not None, else its default. Raises InputError on any that is unknown
        or not of its default's type."""
        for name in params:
            if name not in self.params:
                takes = ", ".join(self.params)
                raise InputError(f"{self.name}.{name} = {params[name]!r}: no such parameter; it takes {takes}")
        given = {name: value for name, value in params.items() if value is not None}
        for name, value in given.items():
            default = self.params[name]
            kind = _UNSET.get(name) if default is None else type(default)
            if kind in _SAYS and not _is(value, kind):
                raise InputError(f"{self.name}.{name} = {value!r}: give {_SAYS[kind]}")
        if any(name in given for name in _AMOUNTS):
            given = {**{name: None for name in _AMOUNTS if name in self.params}, **given}
        return {**self.params, **given}


def _is(value: Any, kind: type) -> bool:
    if kind is bool or not isinstance(value, bool):
        return isinstance(value, (int, float) if kind is float else kind)
    return False
