"""Text of the data does not steer the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from safeclip.bench.runner import _say
from safeclip.cli import main
from safeclip.terminal import printable
from safeclip.train.progress import Bar
from tests.data.made import pictures, write

RED = "\x1b[31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;mine\x07\n", r"a\x1b]0;mine\x07\n"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("cat\u202egod\u2028", r"cat\u202egod\u2028"),
        ("\udc80", r"\udc80"),
        ("34.0\u00a0% – 斑马 👩\u200d🚀 \\x1b", "34.0\u00a0% – 斑马 👩\u200d🚀 \\x1b"),
    ],
)
def test_what_steers_a_terminal_stands_as_its_escape_sequence(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_errors_and_what_verbs_say_hold_no_escape_sequences_of_the_data(tmp_path: Path, capsys) -> None:
    pictures(tmp_path, ["a.jpg"])
    write(tmp_path / "p.csv", f"image,caption,split,class\na.jpg,a cat,{RED}train,{RED}cat\n")
    assert main(["doctor", "--data", f"csv:{tmp_path}/p.csv"]) == 2
    told = capsys.readouterr()
    assert r"there are \x1b[31mtrain" in told.err
    folder = tmp_path / f"{RED}data"
    (tmp_path / "p.csv").rename(pictures(folder, ["a.jpg"]) and folder / "p.csv")
    assert main(["doctor", "--data", f"csv:{folder}/p.csv", "--set", "data.split=all"]) == 0
    told = capsys.readouterr()
    assert r"\x1b[31mdata/p.csv" in told.out
    assert "\x1b" not in told.out + told.err
    assert told.out.count("\n") > 3, "lines stay lines"


def test_progress_holds_none_either_and_no_markup(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    stream = io.StringIO()
    with Bar(f"{RED}clip", stream) as bar:
        bar.at(0.5, f"{RED}tail")
    _say(f"{RED}failed", quiet=False)
    assert "\x1b" not in stream.getvalue() + capsys.readouterr().err
    assert stream.getvalue().count(r"\x1b[31m") == 2
    monkeypatch.setenv("FORCE_COLOR", "1")
    live = io.StringIO()
    with Bar("clip", live) as bar:
        bar.at(0.5, "[/nothing] to close")
    assert bar.live is not None
    assert "[/nothing] to close" in live.getvalue()
