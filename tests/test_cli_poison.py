"""`safeclip poison`: the list, the page, the manifest, and any of them without the others."""

from __future__ import annotations

import json
import subprocess
import sys
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


def test_the_data_and_other_files_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, page, data = tmp_path / "m.parquet", tmp_path / "page.html", tmp_path / "pairs.csv"
    data.write_text("image,caption\n")
    for arguments, says in (
        (["--out", str(data)], "is there and holds no manifest"),
        (["--out", str(file), "--preview", str(data)], "is there and holds no page"),
        (["--out", str(file), "--preview", str(file)], "is --out's file too"),
        (["--out", str(tmp_path)], "is there and holds no manifest"),
    ):
        assert main([*ON, *arguments]) == 2
        assert says in capsys.readouterr().err
    assert main(["poison", "--list", "--preview", str(data)]) == 2
    assert [*tmp_path.iterdir()] == [data]
    assert data.read_text() == "image,caption\n"
    for _ in range(2):  # its own may be written anew
        assert main([*ON, "--out", str(file), "--preview", str(page)]) == 0


def test_a_full_disk_under_the_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "safeclip", "poison", "--list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "safeclip: cannot be written or read: No space left on device\n")


def test_json_is_plain_ascii_whatever_the_names_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "\u202egepj \udcff.parquet"
    assert main([*ON, "--out", str(file), "--json"]) == 0
    said = capsys.readouterr().out
    assert said.isascii()
    assert json.loads(said)["manifest"] == str(file)
