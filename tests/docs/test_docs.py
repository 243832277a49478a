"""What README.md and docs/ say is there: commands that parse, settings that exist, links that lead somewhere."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from safeclip.arguments import parser
from safeclip.config import RunConfig, to_dict
from safeclip.data.sources import FORMATS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
VERBS = ("demo", "train", "poison", "evaluate", "bench", "report", "export", "doctor")
page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


@page
def test_commands_parse(page: Path) -> None:
    lines = [line for block in blocks(page.read_text("utf-8"), "sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("safeclip ")]
    calls = parser(dict.fromkeys(VERBS, lambda options: {}))
    for command in commands:
        calls.parse_args(command[1:])  # exits on what it does not know


@page
def test_settings_exist(page: Path) -> None:
    config = to_dict(RunConfig())
    names = re.findall(
        r"(?:`|--set )(data|model|views|optim|safeclip|roclip|cleanclip|filter)\.(?!safetensors)(\w+)(?=[`= ])",
        page.read_text("utf-8"),
    )
    assert [f"{part}.{name}" for part, name in names if name not in config[part]] == []


@page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "own-data.md"], ids=lambda page: page.name)
def test_every_format_has_a_line(page: Path) -> None:
    table = "\n".join(line for line in page.read_text("utf-8").splitlines() if line.startswith("| `"))
    assert [kind for kind in FORMATS if f"`{kind}:" not in table] == []


def test_python_in_the_docs_compiles() -> None:
    for page in PAGES:
        for block in blocks(page.read_text("utf-8"), "python"):
            compile(block, page.name, "exec")


def test_every_departure_named_in_the_method_is_a_setting() -> None:
    written = (ROOT / "docs" / "method.md").read_text("utf-8").partition("<!-- results: ")[0]
    table = [line for line in written.splitlines() if line.startswith("| ")]
    fields = {field.name for part in dataclasses.fields(RunConfig) for field in _fields_of(part)}
    cells = [line.split("|")[-2].strip().strip("`") for line in table]
    named = [cell.split(".")[-1] for cell in cells if cell not in ("setting", "–")]
    assert named
    assert [name for name in named if name not in fields] == []


def _fields_of(part: dataclasses.Field) -> tuple[dataclasses.Field, ...]:
    made = part.default_factory() if part.default_factory is not dataclasses.MISSING else None
    return dataclasses.fields(made) if dataclasses.is_dataclass(made) else ()
