"""--only: some runs of a grid, with what they cannot do without."""

from __future__ import annotations

from collections.abc import Sequence

from safeclip.bench.grid import Cell
from safeclip.errors import InputError

_KEYS = ("method", "attack", "seed")


def parse_only(texts: Sequence[str]) -> dict[str, list[str]]:
    """`method=safeclip,attack=wanet` as {key: values}; a key that is there again allows a further value.

    >>> parse_only(["method=clip,seed=0", "seed=1"])
    {'method': ['clip'], 'seed': ['0', '1']}
    """
    only: dict[str, list[str]] = {}
    for part in ",".join(texts).split(",") if texts else []:
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS:
            raise InputError(f"--only {part}: write it as method=safeclip,attack=wanet; choose by {', '.join(_KEYS)}")
        only.setdefault(key, []).append(value)
    return only


def select(cells: Sequence[Cell], only: dict[str, list[str]]) -> list[Cell]:
    """The cells that `only` names, with plain CLIP of the same attacks and seeds and the runs that they start from.

    only: from `parse_only`; {} is all. An attack is named by its own label or by its whole group's. Raises InputError
    on a name that is not there.
    """
    names = [
        {
            "method": [cell.method.title],
            "attack": [cell.group, *(attack.title for attack in cell.attacks)],
            "seed": [str(cell.seed)],
        }
        for cell in cells
    ]
    for key, values in only.items():
        known = list(dict.fromkeys(name for own in names for name in own[key]))
        unknown = next((value for value in values if value not in known), None)
        if unknown is not None:
            raise InputError(f"--only {key}={unknown}: not in this bench; there are {', '.join(known)}")
    needed: set[Cell] = set()
    for cell, own in zip(cells, names, strict=True):
        if all(set(values) & set(own[key]) for key, values in only.items()):
            needed |= {cell, *cell.ancestors()}
    places = {(cell.group, cell.seed) for cell in needed}
    return [cell for cell in cells if cell in needed or (cell.baseline and (cell.group, cell.seed) in places)]
