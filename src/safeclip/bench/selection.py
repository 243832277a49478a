"""--only: some runs of a grid, with what they cannot do without."""

from __future__ import annotations

import re
from collections.abc import Sequence

from safeclip.bench.grid import Cell
from safeclip.errors import InputError

_KEYS = ("method", "attack", "seed")
_BEFORE_KEY = rf",(?=(?:{'|'.join(_KEYS)})=)"


def parse_only(texts: Sequence[str]) -> dict[str, list[str]]:
    """`method=safeclip,attack=wanet` as {key: values}; a key that is there again allows a further value. A comma
    belongs to the name that it stands in unless a key follows.

    >>> parse_only(["method=clip,seed=0", "seed=1"])
    {'method': ['clip'], 'seed': ['0', '1']}
    """
    only: dict[str, list[str]] = {}
    for part in re.split(_BEFORE_KEY, ",".join(texts)) if texts else []:
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS:
            raise InputError(f"--only {part}: write it as method=safeclip,attack=wanet; choose by {', '.join(_KEYS)}")
        only.setdefault(key, []).append(value)
    return only


def check_only(cells: Sequence[Cell], only: dict[str, list[str]]) -> None:
    """Raises InputError on a name that none of the cells has. cells: of all benches of a command."""
    for key, values in only.items():
        known = list(dict.fromkeys(name for cell in cells for name in _names(cell)[key]))
        unknown = next((value for value in values if value not in known), None)
        if unknown is not None:
            raise InputError(f"--only {key}={unknown}: not in this bench; there are {', '.join(known)}")


def select(cells: Sequence[Cell], only: dict[str, list[str]]) -> list[Cell]:
    """The cells that `only` names, with plain CLIP of the same attacks and seeds and the runs that they start from.

    only: from `parse_only`; {} is all. An attack is named by its own label or by its whole group's.
    """
    needed: set[Cell] = set()
    for cell in cells:
        own = _names(cell)
        if all(set(values) & set(own[key]) for key, values in only.items()):
            needed |= {cell, *cell.ancestors()}
    places = {(cell.group, cell.seed) for cell in needed}
    return [cell for cell in cells if cell in needed or (cell.baseline and (cell.group, cell.seed) in places)]


def _names(cell: Cell) -> dict[str, list[str]]:
    attacks = [cell.group, *(attack.title for attack in cell.attacks)]
    return {"method": [cell.method.title], "attack": attacks, "seed": [str(cell.seed)]}
