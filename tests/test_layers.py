"""Imports go one way: data, model -> objective, split, signals -> methods -> train -> evaluate, report -> cli."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]


def named(layer: str) -> list[str]:
    return re.findall(r"safeclip\.(\w+)", layer)


def test_imports_go_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    linter = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(ROOT)
    code = linter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_every_part_of_the_package_has_its_layer() -> None:
    parts = {
        path.stem
        for path in (ROOT / "src/safeclip").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts - {"__init__", "__main__"} - {name for layer in LAYERS for name in named(layer)} == set()


def test_the_order_is_the_one_of_the_design() -> None:
    place = {name: number for number, layer in enumerate(reversed(LAYERS)) for name in named(layer)}
    wanted = ["errors", "config", "run", "data", "model", "objective", "methods", "train", "evaluate", "report", "cli"]
    assert sorted(wanted, key=place.__getitem__) == wanted
    assert place["objective"] == place["split"] == place["signals"]


@pytest.mark.parametrize(
    ("folder", "never"),
    [
        (
            "train",
            r"\b(Plain|Safe|Ro|Clean)Clip\b|\bmethods\.(clip|safeclip|roclip|cleanclip|filter)\b"
            r"|[\"'](clip|safeclip|roclip|cleanclip|filter)[\"']",
        ),
        ("methods", r"\bopen\(|\.parquet|\.jsonl|\bjson\b|pathlib|\bos\."),
        ("data", r"\b(clip_loss|unimodal_loss|objective import)\b"),
        ("signals", r"\bRunDir\b|safeclip\.run\b"),
    ],
)
def test_no_part_knows_what_it_should_not(folder: str, never: str) -> None:
    """train/ no method by name, methods/ no file format, data/ no loss, signals/ no run."""
    for file in (ROOT / "src/safeclip" / folder).rglob("*.py"):
        code = re.sub(r'""".*?"""|#.*', "", file.read_text(), flags=re.DOTALL)
        assert not re.search(never, code), f"{file.name}: {re.search(never, code)}"


def test_no_file_grows_past_its_one_idea() -> None:
    """About 300 lines."""
    long = {
        str(file.relative_to(ROOT)): count
        for folder in ("src", "tests")
        for file in (ROOT / folder).rglob("*.py")
        if (count := len(file.read_text().splitlines())) > 350
    }
    assert long == {}
