"""`safeclip doctor`, and what the verbs that read data without a run take: each fault is said before a run meets it."""

from __future__ import annotations

import json
import re

import pytest

from safeclip.cli import main
from tests.data.made import pictures, write


@pytest.fixture
def table(tmp_path):
    """100 pairs with columns of unusual names; returns the file and the pictures' folder."""
    names = [f"img/{i}.jpg" for i in range(100)]
    pictures(tmp_path, names)
    rows = [f"{name},picture number {i},{'train' if i < 80 else 'val'}" for i, name in enumerate(names)]
    return write(tmp_path / "pairs.csv", "\n".join(["photo,words,split", *rows]) + "\n")


COLUMNS = ["--set", "data.image_column=photo", "--set", "data.caption_column=words"]


def test_it_says_what_the_data_holds(table, capsys):
    assert main(["doctor", "--data", str(table), *COLUMNS]) == 0
    said = capsys.readouterr().out
    assert "80 pairs, no classes" in said
    assert "looked at 80: 0 cannot be used" in said
    assert "'picture number 0'" in said
    named = ["--set", "data.class_names=[picture, number]"]
    assert main(["doctor", "--data", str(table), *COLUMNS, *named]) == 0
    assert "80 pairs, 2 classes" in capsys.readouterr().out
    assert "split = 'test': no such split" in said
    assert "as in --set data.eval_split=val" in said
    assert "nothing found" not in said
    assert main(["doctor", "--data", str(table), *COLUMNS, "--set", "data.eval_split=val"]) == 0
    assert "nothing found that would stop a run" in capsys.readouterr().out


def test_more_bad_pairs_than_a_run_lets_pass_is_a_failure(table, capsys):
    for i in (3, 4):
        (table.parent / f"img/{i}.jpg").unlink()
    assert main(["doctor", "--data", str(table), *COLUMNS, "--json"]) == 1
    told = capsys.readouterr()
    assert "2 of 80 pairs looked at cannot be used" in told.err
    found = json.loads(told.out)
    assert found["exit"] == 1
    assert found["data"]["reasons"][0] == [3, f"image 'img/3.jpg': no such file in {table.parent}"], "nothing is lost"
    assert main(["doctor", "--data", str(table), *COLUMNS, "--set", "data.max_bad_share=0.1"]) == 0
    assert "uid 3: image 'img/3.jpg': no such file" in capsys.readouterr().out


def test_rows_without_a_downloaded_picture_are_told(tmp_path, capsys):
    pictures(tmp_path / "images", [f"{i}.jpg" for i in range(5)])
    write(tmp_path / "train.tsv", "".join(f"caption {i}\thttp://x/{i}.jpg\n" for i in range(12)))
    assert main(["doctor", "--data", f"cc3m:{tmp_path}/train.tsv"]) == 0
    said = capsys.readouterr().out
    assert "5 pairs" in said
    assert "7 rows have no picture there" in said


def test_settings_of_a_run_are_no_settings_of_data(table, capsys):
    assert main(["doctor", "--data", str(table), "--set", "safeclip.growth=0.1"]) == 2
    assert "data settings only" in capsys.readouterr().err


def test_a_test_split_that_is_not_there_is_said_before_training(table, tmp_path, capsys):
    out = tmp_path / "run"
    settings = [*COLUMNS, "--set", "optim.batch_size=16", "--model", "safeclip-emoji"]
    assert main(["train", "--preset", "small64", "--data", str(table), "--out", str(out), *settings]) == 2
    assert "split = 'test': no such split" in capsys.readouterr().err
    assert not out.exists()


def test_poison_reads_the_columns_it_is_told(table, tmp_path, capsys):
    out = tmp_path / "m.parquet"
    attack = ["--attack", "badnets", "--param", "count=5", "--param", "target_class=picture"]
    assert main(["poison", "--data", str(table), "--out", str(out), *attack, *COLUMNS]) == 2
    assert "badnets" in capsys.readouterr().err  # every caption names the class, so no pair is left to poison
    attack[-1] = "target_class=number 7"
    assert main(["poison", "--data", str(table), "--out", str(out), *attack, *COLUMNS]) == 0
    assert out.is_file()


def test_it_warns_of_few_pairs_and_of_pairs_that_are_measured_on_themselves(table, capsys):
    (table.parent / "whole.csv").write_text(
        re.sub(r",(train|val)\b", "", table.read_text("utf-8").replace(",split", "")), "utf-8"
    )
    assert main(["doctor", "--data", str(table.parent / "whole.csv"), *COLUMNS]) == 0
    said = capsys.readouterr().out
    assert "fewer pairs than a batch of the presets (128 or more): --set optim.batch_size=100" in said
    assert "split test holds the pairs trained on" in said
    assert main(["doctor", "--data", "emoji:pairs=200,concepts=9"]) == 0
    assert "holds the pairs trained on" not in capsys.readouterr().out
