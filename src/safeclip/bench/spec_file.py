"""A spec as text: read from a YAML file with its short forms, and written into results without this machine's folders.

name: mine
preset: emoji
data: {spec: "emoji:", split: train, eval_split: test}
attacks: [targeted, {name: badnets, params: {count: 60}}, [blended, wanet]]
methods: [clip, safeclip, {method: cleanclip, starts_from: clip, train_on: val, set: {epochs: 5}}]
seeds: [0, 1, 2]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safeclip.bench.spec import Spec
from safeclip.config import from_dict, read_yaml, to_dict
from safeclip.data.sources import without_folders
from safeclip.errors import InputError, reason

_PATHS = ("model", "model.weights", "data.image_root")
"""Names of parameters and settings that are paths."""


def read_spec(file: str | Path) -> Spec:
    """The spec in a YAML file. Raises InputError."""
    try:
        values = read_yaml(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: not readable ({error.strerror}); give a YAML file, or --preset") from None
    except ValueError as error:
        raise InputError(f"{file}: not readable as YAML ({reason(error)}); mend it") from None
    try:
        return spec_of(values)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def spec_of(values: Any) -> Spec:
    """A spec from plain values, short forms written out. Raises InputError."""
    if not isinstance(values, dict):
        raise InputError("holds no spec; give name, data, attacks, methods and seeds, as docs/bench.md shows")
    for name in ("name", "attacks", "methods"):
        if name not in values:
            raise InputError(f"{name}: is missing; docs/bench.md shows a spec")
    plain = dict(values)
    for name in ("attacks", "methods"):
        if not isinstance(plain[name], list):
            raise InputError(f"{name} = {plain[name]!r}: give a list")
    groups = [group if isinstance(group, list) else [group] for group in plain["attacks"]]
    plain["attacks"] = [[_written_out(attack, "name", "attacks") for attack in group] for group in groups]
    plain["methods"] = [_written_out(method, "method", "methods") for method in plain["methods"]]
    return from_dict(Spec, plain)


def published(spec: Spec) -> dict[str, Any]:
    """The spec as plain values, without the folders of the machine that it was used on."""
    plain = to_dict(spec)
    plain["data"]["spec"] = without_folders(spec.data.spec)
    for named in (plain, *plain["methods"]):
        named["set"] = bare(named["set"])
    for attack in (attack for group in plain["attacks"] for attack in group):
        attack["params"] = bare(attack["params"])
    return plain


def bare(values: dict[str, Any]) -> dict[str, Any]:
    """Settings or parameters, those that are paths without their folders."""
    return {k: Path(v).name if k in _PATHS and isinstance(v, str) else v for k, v in values.items()}


def _written_out(value: Any, name: str, where: str) -> dict[str, Any]:
    """`badnets` as {name: badnets}."""
    if isinstance(value, str):
        return {name: value}
    if not isinstance(value, dict) or name not in value:
        raise InputError(f"{where}: {value!r} has no {name}; give a name, or a mapping with `{name}`")
    return dict(value)
