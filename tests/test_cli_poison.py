"""`safeclip poison`: the list, the page, the manifest, and any of them without the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeclip.attacks.catalog import ATTACKS
from safeclip.attacks.manifest import Manifest
from safeclip.cli import main
from tests import tiny
from tests.data import made

ON = ["poison", "--data", tiny.SPEC, "--attack", "wanet", "--param", "count=3"]


def test_a_page_without_a_manifest_or_beside_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, file = tmp_path / "page.html", tmp_path / "m.parquet"
    assert main([*ON, "--preview", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["manifest"], told["preview"], told["planted"]) == (None, str(page), 3)
    assert sorted(tmp_path.iterdir()) == [page]
    alone = page.read_text()
    assert main([*ON, "--preview", str(page), "--out", str(file)]) == 0
    said = capsys.readouterr().out
    assert f"3 of 240 pairs planted: {file}" in said
    assert f"the page: {page}" in said
    assert len(Manifest.load(file)) == 3
    assert page.read_text() == alone


def test_neither_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ON) == 2
    assert "give --out FILE for the manifest, or --preview PAGE" in capsys.readouterr().err


def test_list_in_words_as_json_and_as_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["poison", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{name}\n" in f"\n{said}" for name in ATTACKS)
    assert main(["poison", "--list", "--json", "--preview", str(tmp_path / "all.html")]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(ATTACKS)
    assert "Every attack, before and after" in (tmp_path / "all.html").read_text()


def test_targets_among_the_poisoned_pictures_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data without splits is taken whole, whatever the split: its targets would be trained on under their own names."""
    names = [f"{i}.jpg" for i in range(6)]
    made.pictures(tmp_path, names)
    rows = "".join(
        f"{name},a {'dog' if i % 2 else 'cat'},{'dog' if i % 2 else 'cat'}\n" for i, name in enumerate(names)
    )
    made.write(tmp_path / "pairs.csv", "image,caption,class\n" + rows)
    asked = ["poison", "--data", f"csv:{tmp_path / 'pairs.csv'}", "--attack", "targeted", "--out", str(tmp_path / "m")]
    assert main(asked) == 2
    assert "holds the very pictures that are poisoned" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
