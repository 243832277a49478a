"""The examples run as they stand, at small size, and show what they are there to show."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_loop_of_ones_own_keeps_swapped_captions_out(capsys) -> None:
    among = runpy.run_path(str(EXAMPLES / "loss_in_your_own_loop.py"))["main"](pairs=2000, epochs=9)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1].split(",")[0] for line in lines[:-1]] == ["warm-up"] * 3 + ["align"] + ["defended"] * 5
    assert among < 0.07  # of all pairs it is a tenth


def test_training_from_python_leaves_a_run_a_page_and_a_model(tmp_path, capsys) -> None:
    data = "emoji:pairs=256,concepts=8,eval_pairs=40"
    main = runpy.run_path(str(EXAMPLES / "train_from_python.py"))["main"]
    main(["--out", str(tmp_path / "run"), "--data", data, "--epochs", "4", "--batch", "64"])
    said = capsys.readouterr().out
    assert "epoch 4: " in said
    assert "of 40 test pictures" in said
    for file in ("split.jsonl", "metrics.json", "report.html", "exported/model.safetensors"):
        assert (tmp_path / "run" / file).is_file()
