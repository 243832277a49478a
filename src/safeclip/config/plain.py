"""A config from plain values and back: what RUN/config.yaml holds, and dotted settings of the command line."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from typing import Any, Literal, TypeVar

from safeclip.config.run_config import RunConfig
from safeclip.errors import InputError

T = TypeVar("T")

_MOST_SHOWN = 60
"""Characters of a value that an error shows."""


def to_dict(config: Any) -> dict[str, Any]:
    """Plain dicts, lists and scalars, for YAML and JSON."""
    plain: dict[str, Any] = _listed(dataclasses.asdict(config))
    return plain


def from_dict(kind: type[T], values: dict[str, Any], where: str = "") -> T:
    """A config of `kind` from plain values. Raises InputError on unknown fields and wrong types."""
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict):
        raise InputError(f"{where or 'config'} = {_shown(values)}: give fields and values")
    unknown = sorted(str(name) for name in set(values) - set(hints))
    if unknown:
        raise InputError(f"{where}{unknown[0][:_MOST_SHOWN]}: no such setting; there are {', '.join(sorted(hints))}")
    return kind(**{name: _cast(hints[name], value, f"{where}{name}") for name, value in values.items()})


def override(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """`config` with dotted settings changed, as in {"safeclip.growth": 0.02}. Raises InputError."""
    plain = to_dict(config)
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        part: Any = plain
        for name in parents:
            part = part.get(name) if isinstance(part, dict) else None
        if not isinstance(part, dict) or leaf not in part or isinstance(part[leaf], dict):
            raise InputError(f"{path}: no such setting; RUN/config.yaml of any run lists them all")
        part[leaf] = value
    return from_dict(RunConfig, plain)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value


def _cast(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where + ".")
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _cast(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value not in args:
            raise InputError(f"{where} = {_shown(value)}: choose among {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{where} = {_shown(value)}: give a list")
        kinds = (args[0],) * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        if len(kinds) != len(value):
            raise InputError(f"{where} = {_shown(value)}: give {len(kinds)} values")
        return tuple(_cast(k, v, where) for k, v in zip(kinds, value, strict=True))
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise InputError(f"{where} = {_shown(value)}: give names and their values")
        return dict(value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:
            raise InputError(f"{where} = {str(value)[:20]}: give a number that is finite")
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InputError(f"{where} = {_shown(value)}: give a value of type {hint.__name__}")
    return value


def _shown(value: Any) -> str:
    return repr(value)[:_MOST_SHOWN]
