"""The command line: what bad input says, what the verbs write, how soon help is there."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from safeclip.cli import main
from safeclip.methods import METHODS
from safeclip.run import RunDir
from tests import tiny
from tests.data.made import pictures, write

VERBS = ("demo", "train", "poison", "evaluate", "bench", "report", "export", "doctor")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """pairs.csv of 60 good pairs with classes, and its pictures."""
    names = [f"img/{i}.jpg" for i in range(60)]
    pictures(tmp_path, names)
    rows = [f"{name},a drawing of a {('cat', 'dog')[i % 2]},{('cat', 'dog')[i % 2]}" for i, name in enumerate(names)]
    return write(tmp_path / "pairs.csv", "\n".join(["image,caption,class", *rows]) + "\n")


def on(data: object, *more: str) -> Callable[[Path], list[str]]:
    """`safeclip train` on that data, the batch small enough for it."""
    return lambda out: ["train", "--preset", "emoji", "--data", str(data), "--out", str(out), "--set",
                        "optim.batch_size=20", *more]  # fmt: skip


def bad_path(table: Path) -> tuple:
    return on(table.parent / "pears.csv"), "pears.csv", "no such file"


def bad_image_column(table: Path) -> tuple:
    return on(table, "--set", "data.image_column=photo"), "data.image_column = 'photo'", "there are image, caption"


def bad_caption_column(table: Path) -> tuple:
    return on(table, "--set=data.caption_column=words"), "data.caption_column = 'words'", "there are image, caption"


def bad_no_caption_column(table: Path) -> tuple:
    write(table, "image,views\nimg/0.jpg,3\n")
    return on(table), "data.caption_column", "name one of: image, views"


def bad_empty_set(table: Path) -> tuple:
    write(table, "image,caption\n")
    return on(table), "pairs.csv", "holds no row"


def bad_empty_file(table: Path) -> tuple:
    write(table, "")
    return on(table), "pairs.csv", ""


def bad_pictures_all_corrupt(table: Path) -> tuple:
    for file in (table.parent / "img").iterdir():
        file.write_bytes(b"\xff\xd8 no picture")
    return on(table), "none of 32 pairs looked at can be used (uid 0: ", "check that it names the data you meant"


def bad_pictures_all_missing(table: Path) -> tuple:
    shutil.rmtree(table.parent / "img")
    return on(table), "none of 32 pairs looked at can be used (uid 0: ", "data.image_root"


def bad_captions_all_empty(table: Path) -> tuple:
    write(table, "image,caption\n" + "".join(f"img/{i}.jpg,\n" for i in range(60)))
    return on(table), "none of 32 pairs looked at can be used (uid 0: no caption)", "check that"


def bad_batch_larger_than_the_set(table: Path) -> tuple:
    return on(table, "--set", "optim.batch_size=61"), "optim.batch_size = 61", "the data has 60 pairs; give at most"


def bad_model(table: Path) -> tuple:
    return on(table, "--model", "RN5O"), "model.name = 'RN5O'", "`safeclip doctor --models` lists them"


def bad_weights(table: Path) -> tuple:
    return on(table, "--set", "model.weights=none.pt"), "model.weights = 'none.pt'", "give a checkpoint file"


def bad_preset(table: Path) -> tuple:
    return lambda out: ["train", "--preset", "emojo", "--out", str(out)], "--preset emojo", "there are emoji,"


def bad_no_preset(table: Path) -> tuple:
    return lambda out: ["train", "--out", str(out)], "train: give --preset", "emoji"


def bad_method(table: Path) -> tuple:
    return on(table, "--method", "magic"), "method = 'magic'", "choose among clip"


def bad_set_unknown(table: Path) -> tuple:
    return on(table, "--set", "safeclip.grow=1"), "safeclip.grow: no such setting", "config.yaml"


def bad_set_value(table: Path) -> tuple:
    return on(table, "--set", "optim.rate=fast"), "optim.rate = 'fast'", "give a value of type float"


def bad_set_form(table: Path) -> tuple:
    return on(table, "--set", "optim.rate"), "--set optim.rate", "write it as name=value"


def bad_epochs(table: Path) -> tuple:
    return on(table, "--epochs", "1"), "epochs = 1", "safeclip needs more than its"


def bad_manifest(table: Path) -> tuple:
    return on(table, "--manifest", str(table)), "pairs.csv", ""


def bad_eval_split(table: Path) -> tuple:
    text = table.read_text().splitlines()
    write(table, "\n".join([text[0] + ",split", *[line + ",train" for line in text[1:]]]) + "\n")
    return on(table), "test", "train"


def bad_date(table: Path) -> tuple:
    return on(table, "--set", "data.split=2023-02-30"), "data.split=2023-02-30", "no YAML value"


def bad_out(table: Path) -> tuple:
    (table.parent / "out").mkdir()
    write(table.parent / "out/config.yaml", "")
    return on(table), "holds a run already", "give --resume"


BAD = [value for name, value in list(globals().items()) if name.startswith("bad_")]


@pytest.mark.parametrize("make", BAD, ids=[make.__name__ for make in BAD])
def test_bad_input_is_exit_2_and_one_line_that_names_it_and_the_mend(
    make: Callable[[Path], tuple], table: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, named, mend = make(table)
    out = table.parent / "out"
    there = out.exists()
    assert main(arguments(out)) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1, told.err
    assert told.err.startswith("safeclip: ")
    assert named in told.err
    assert mend in told.err
    assert out.exists() == there, "nothing is written for a run that cannot begin"


def test_a_run_that_is_not_evaluated_needs_no_split_for_it_when_it_goes_on_either(table: Path) -> None:
    bad_eval_split(table)
    out = table.parent / "out"
    more = ("--method", "clip", "--epochs", "1", "--quiet", "--set", "evaluate=false")
    assert main(on(table, *more)(out)) == 0
    assert main(["train", "--out", str(out), "--resume", "--quiet"]) == 0


POISON = ["poison", "--data", "emoji:concepts=9,pairs=900", "--attack", "badnets", "--out", "x"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--resume", "--out", "NOWHERE"], "NOWHERE: no run here"),
        (["train", "--resume", "--out", "NOWHERE", "--epochs", "3"], "--epochs: a resumed run keeps its own settings"),
        (["train", "--resume", "--out", "NOWHERE", "--seed", "0"], "--seed: a resumed run keeps its own settings"),
        (["report", "NOWHERE"], "NOWHERE"),
        (["export", "NOWHERE", "--out", "x"], "NOWHERE: no run here"),
        (["evaluate", "NOWHERE"], "NOWHERE: no run here"),
        (["evaluate"], "give a run's folder, or --model NAME --weights FILE --data SPEC"),
        (["evaluate", "--model", "RN50", "--data", "emoji:"], "nothing is downloaded"),
        (["evaluate", "RUN", "--model", "RN50"], "leave them out"),
        (["evaluate", "RUN", "--checkpoint", "epoch-099"], "epoch-099: no checkpoint there"),
        (["evaluate", "RUN", "--data", "emoji:pears=3"], "emoji.pears"),
        (["export", "RUN", "--out", "RUN"], "is not empty; name a new folder"),
        (["demo", "--out", "RUN"], "holds a run already"),
        ([*POISON, "--param", "target_class=3"], "give text, a number in quotes"),
        ([*POISON, "--param", "target_class='3'"], "target_class = '3': no class of"),
        (
            ["train", "--preset", "cc12m_vitb32", "--model", "ViT-B-16-SigLIP", "--data", "emoji:", "--out", "x"],
            "has hf_tokenizer_name, which open_clip would download",
        ),
        (["poison", "--out", "m.parquet", "--data", "x.csv", "--attack", "badnets"], "x.csv"),
        (["doctor", "--data", "x.csv"], "x.csv"),
        (["doctor", "--data", "emoji:", "--set", "optim.rate=1"], "takes data settings only"),
    ],
)
def test_other_verbs_refuse_bad_input_the_same_way(
    arguments: list[str], named: str, tiny_run: RunDir, tmp_path: Path, monkeypatch, capfd
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([argument.replace("RUN", str(tiny_run.path)) for argument in arguments]) == 2
    told = capfd.readouterr()
    assert told.err.count("\n") == 1, told.err
    assert named in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_while_running_is_exit_1_and_one_line(table: Path, capfd) -> None:
    for i in range(0, 60, 3):
        (table.parent / f"img/{i}.jpg").write_bytes(b"no picture")
    arguments = on(
        table, "--method=clip", "--epochs=1", "--quiet", "--set=evaluate=false", "--set=model.precision=fp32"
    )
    assert main([*arguments(table.parent / "out"), "--json"]) == 1
    told = capfd.readouterr()
    assert "20 of 60 pairs cannot be used" in told.err or "more than data.max_bad_share" in told.err
    assert told.err.count("\n") == 1
    assert json.loads(told.out) == {"error": told.err.strip().removeprefix("safeclip: "), "exit": 1}


def test_bad_input_with_json_is_a_json_object_too(capfd) -> None:
    assert main(["report", "NOWHERE", "--json"]) == 2
    told = capfd.readouterr()
    assert json.loads(told.out)["exit"] == 2


def spent(arguments: list[str]) -> float:
    """CPU seconds of a process. Its time on the clock is no more on an idle machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_is_there_within_half_a_second(arguments: list[str]) -> None:
    assert min(spent(["-m", "safeclip", *arguments]) for _ in range(3)) < 0.5


def test_help_names_every_verb_and_what_each_argument_stands_for(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n    {verb} " in text for verb in VERBS)
    for verb in VERBS:
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert "--json" in capsys.readouterr().out


def test_trains_help_names_every_method(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert f"one of {', '.join(METHODS)}" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_verb_is_exit_2_without_a_traceback(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(["trian"])
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def answer(capsys, *arguments: object) -> dict:
    """What a verb prints with --json; it must be one JSON object and nothing else."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_trained_run_can_be_evaluated_reported_and_exported(tiny_run: RunDir, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    metrics = answer(capsys, "evaluate", run)
    assert metrics == json.loads((run / "metrics.json").read_text())
    assert metrics["zero_shot"]["n"] == 58, "the two targets are no clean pictures"
    assert {attack["name"] for attack in metrics["attack"]} == {"targeted", "badnets"}
    limited = answer(capsys, "evaluate", run, "--limit", 24, "--split", "val", "--checkpoint", "epoch-003")
    assert limited["zero_shot"]["n"] == 24
    page = answer(capsys, "report", run)["report"]
    assert "<html" in Path(page).read_text()[:300]
    (written,) = answer(capsys, "export", run, "--form", "safetensors", "--out", tmp_path / "model")["written"]
    assert load_file(written).keys() == load_file(run / "checkpoints/epoch-005/model.safetensors").keys()
    again = answer(
        capsys, "evaluate", "--model", "safeclip-emoji", "--weights", written, "--data", tiny.SPEC, "--split", "test"
    )
    assert again["retrieval"] == answer(capsys, "evaluate", run)["retrieval"], "the same towers"
    assert len(answer(capsys, "export", run, "--out", tmp_path / "open_clip")["written"]) == 2


def test_verbs_without_json_say_what_they_did_in_words(tiny_run: RunDir, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    assert main(["evaluate", str(run)]) == 0
    said = capsys.readouterr().out
    assert "zero-shot over 12 classes: top-1" in said
    assert "targeted: attack success" in said
    assert "95 % interval" in said
    assert main(["report", str(run)]) == 0
    assert "the page: " in capsys.readouterr().out


@pytest.mark.parametrize(("attack", "count"), [("targeted", "targets_count"), ("badnets", "count")])
def test_poison_writes_a_manifest_that_training_takes(attack: str, count: str, tmp_path: Path, capsys) -> None:
    from safeclip.attacks.manifest import Manifest

    file = tmp_path / "planted.parquet"
    told = answer(capsys, "poison", "--data", tiny.SPEC, "--attack", attack, "--param", f"{count}=3", "--out", file)
    assert told["pairs"] == 240
    assert told["planted"] == len(Manifest.load(file).uids) == (36 if attack == "targeted" else 3)


def test_doctor_looks_at_the_machine_and_at_data(capsys) -> None:
    told = answer(capsys, "doctor", "--data", tiny.SPEC)
    assert told["broken"] == []
    assert told["data"]["pairs"] == 240
    assert "RN50" in answer(capsys, "doctor", "--models")["models"]


def test_train_evaluates_reports_and_says_where(tmp_path: Path, capsys) -> None:
    changes = {"method": "clip", "epochs": 1, "evaluate": True}
    assert main([*tiny.arguments(tmp_path / "run", None, changes), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == str(tmp_path / "run")
    assert told["metrics"] == RunDir(tmp_path / "run").metrics()
    assert (tmp_path / "run/report.html").is_file()
