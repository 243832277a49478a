"""Settings as YAML text and back. Numbers may be written as 1e-4, as YAML 1.2 has it; YAML 1.1, which the library
reads, takes that for text. Text that looks so is written in quotes.

What must stay true: text stands for no more values than it spells, so that aliases are neither read nor written.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not read", mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_yaml(text: str) -> Any:
    """The value that YAML text stands for. Raises ValueError where it is none.

    >>> read_yaml("1e-4"), read_yaml("'1e-4'")
    (0.0001, '1e-4')
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader, but for the form of numbers
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(type(error).__name__ + (f" in line {mark.line + 1}" if mark else "")) from error


def write_yaml(value: dict[str, Any]) -> str:
    """Plain dicts, lists and scalars as YAML text, the fields in their order.

    >>> write_yaml({"rate": 1e-4, "name": "1e-4"})
    "rate: 0.0001\\nname: '1e-4'\\n"
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
