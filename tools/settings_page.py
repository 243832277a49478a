"""docs/settings.md: every setting of a run, from the text under its field.

    python tools/settings_page.py       writes the tables between the markers

What must stay true: a setting, its default and its text are those of src/safeclip/config.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import typing
from itertools import pairwise
from pathlib import Path
from typing import Any

from pages import markdown, put

from safeclip.config import RunConfig

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"


def main() -> None:
    PAGE.write_text(put(PAGE.name, PAGE.read_text("utf-8"), "settings", "settings_page.py", tables()), "utf-8")


def tables() -> str:
    """A table for the run, and one for each of its parts."""
    parts = {"": RunConfig} | {
        f"{name}.": kind for name, kind in typing.get_type_hints(RunConfig).items() if dataclasses.is_dataclass(kind)
    }
    made = []
    for prefix, kind in parts.items():
        about = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
        made.append(f"## {f'`{prefix[:-1]}`' if prefix else 'The run'}\n\n{about}\n\n{table(prefix, kind)}")
    return "\n\n".join(made)


def table(prefix: str, kind: type) -> str:
    texts, rows = said_of(kind), []
    for field in dataclasses.fields(kind):
        if not dataclasses.is_dataclass(typing.get_type_hints(kind)[field.name]):
            rows.append([f"`{prefix}{field.name}`", default(field), texts[field.name]])
    return markdown(["setting", "default", ""], rows)


def default(field: dataclasses.Field[Any]) -> str:
    made = field.default_factory() if callable(field.default_factory) else field.default
    if made is dataclasses.MISSING or made == "":
        return "–"
    return f"`{json.dumps(list(made) if isinstance(made, tuple) else made)}`"


def said_of(kind: type) -> dict[str, str]:
    """The text under each field."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    found = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            text = " ".join(str(below.value.value).split())
            found[field.target.id] = text.replace("|", "\\|")  # type: ignore[union-attr]
    return found


if __name__ == "__main__":
    main()
