"""The loop: the log it writes, the rates it takes, the pairs it leaves out, the loss it stops at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from safeclip import run
from safeclip.config import override
from safeclip.data.sources.emoji import EmojiSource
from safeclip.errors import RunError
from safeclip.run import RunDir, read_scores
from safeclip.train import checkpoint
from safeclip.train.loop import train
from tests import tiny
from tests.reference.schedule import rates


def test_each_objectives_rates_are_its_own_literal_curve_in_each_phase(tiny_run: RunDir) -> None:
    """In the defended epochs safe and risky batches alternate; neither's schedule reads the other's steps."""
    seen: dict[str, list[float]] = {}
    for line in tiny_run.log():
        if line["event"] == "step":
            seen.setdefault(f"{line['phase']}/{line['objective']}", []).append(line["rate"])
    peaks = {"clip": tiny.SETTINGS["optim.rate"], "unimodal": tiny.SETTINGS["optim.unimodal_rate"]}
    assert set(seen) == {"warmup/unimodal", "align/clip", "align/unimodal", "defend/unimodal", "defend/clip"}
    assert seen.pop("align/clip") == pytest.approx([1e-2 / tiny.STEPS] * tiny.STEPS)
    assert seen.pop("align/unimodal") == pytest.approx([1e-2 / tiny.STEPS]), "of the barred pairs, in one batch"
    for key, found in seen.items():
        wanted = rates(len(found), peaks[key.split("/")[1]], tiny.SETTINGS["optim.warmup_share"])
        assert found == pytest.approx(wanted, abs=1e-15), key
        assert found[-1] == pytest.approx(0, abs=1e-12)


def test_the_log_tells_start_epochs_and_end_and_counts_its_steps(tiny_run: RunDir) -> None:
    log = tiny_run.log()
    assert [line["event"] for line in log if line["event"] != "step"] == ["start", *["epoch"] * 5, "end"]
    steps = [line["step"] for line in log if line["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert [line["phase"] for line in log if line["event"] == "epoch"] == ["warmup", "align", *["defend"] * 3]
    assert all(line["pairs"] == 240 for line in log if line["event"] == "epoch")
    assert all(0 < line["logit_scale"] <= 100 for line in log if line["event"] == "step")


def test_splits_say_how_many_planted_pairs_are_in_the_safe_set(tiny_run: RunDir) -> None:
    from safeclip.attacks.manifest import Manifest

    manifest = Manifest.load(tiny_run.manifest_file)
    for record in tiny_run.splits():
        scores = read_scores(tiny_run.scores_file(record["epoch"]))
        safe = set(scores["uid"][scores["safe"]].tolist())
        assert len(safe) == record["safe_count"]
        assert record["planted_in_safe"] == len(safe & set(manifest.uids.tolist()))
        assert record["planted_total"] == 16
        assert [total for _, total in record["planted_by_attack"].values()] == [8, 8]
        counts = [int((scores["barred"] >> i & 1).sum()) for i in range(len(record["vetoed_by"]))]
        assert counts == [*record["vetoed_by"].values()]
        assert not (scores["safe"] & (scores["barred"] > 0)).any()


def test_the_pairs_that_vetoes_bar_are_read_as_the_docs_say(
    tiny_run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "own-data.md"
    _, _, after = page.read_text("utf-8").partition("## Which pairs does it distrust?")
    code = after.split("```python\n")[1].split("```")[0]
    exec(code.replace("runs/mine", str(tiny_run.path)).replace("csv:pairs.csv", tiny.SPEC), {})
    told = capsys.readouterr().out.splitlines()
    assert len(told) == tiny_run.splits()[-1]["vetoed"] > 0
    assert all("['copies']" in line for line in told)


@pytest.fixture
def some_unreadable(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """uids whose pictures are garbage from here on."""
    from safeclip.data.pairs import Pair

    bad, read = [], EmojiSource.__getitem__

    def broken(self: EmojiSource, uid: int) -> Pair:
        pair = read(self, uid)
        return Pair(b"no picture", pair.captions) if uid in bad else pair

    monkeypatch.setattr(EmojiSource, "__getitem__", broken)
    return bad


@pytest.mark.parametrize("scoring", ["running", "fresh"])
def test_unreadable_pairs_are_listed_counted_and_left_out_of_every_later_plan(
    scoring: str, some_unreadable: list[int], tmp_path: Path
) -> None:
    some_unreadable += [7, 100]
    cfg = tiny.config({"epochs": 4, "data.max_bad_share": 0.05, "safeclip.scoring": scoring})
    run = train(cfg, tmp_path / "run", quiet=True)
    table = pq.read_table(run.bad_pairs_file).to_pydict()
    assert table["uid"] == [7, 100]
    assert all(table["reason"])
    pairs = [line["pairs"] for line in run.log() if line["event"] == "epoch"]
    assert pairs == [240, 238, 238, 238], "planned once, found bad, never planned again"
    for epoch in (3, 4):
        scores = read_scores(run.scores_file(epoch))
        assert len(scores["uid"]) == 238
        assert not np.isin([7, 100], scores["uid"]).any()


def test_a_fresh_scoring_pass_that_meets_unreadable_pairs_first_leaves_them_out_of_its_own_split(
    some_unreadable: list[int], tmp_path: Path
) -> None:
    some_unreadable += [7, 100]
    changes = {"epochs": 1, "safeclip.warmup_epochs": 0, "safeclip.align_epochs": 0, "safeclip.scoring": "fresh"}
    run = train(tiny.config(changes | {"data.max_bad_share": 0.05}), tmp_path / "run", quiet=True)
    scores = read_scores(run.scores_file(1))
    assert len(scores["uid"]) == 238
    assert [line["pairs"] for line in run.log() if line["event"] == "epoch"] == [238]


def test_too_many_unreadable_pairs_stop_the_run_with_one_line(some_unreadable: list[int], tmp_path: Path) -> None:
    some_unreadable += range(20, 40)
    with pytest.raises(RunError, match=r"more than data\.max_bad_share = 0\.02.*bad_pairs\.parquet.*uid 2\d") as error:
        train(tiny.config(), tmp_path / "run", quiet=True)
    assert "\n" not in str(error.value)


def test_a_run_whose_last_batch_vanishes_with_its_pairs_still_ends_its_schedule(
    some_unreadable: list[int], tmp_path: Path
) -> None:
    """242 pairs at 40 are 7 batches; without one pair they are 6, and the schedule of the epochs to come is shorter."""
    some_unreadable += [7]
    spec = tiny.SPEC.replace("240", "242")
    cfg = tiny.config({"method": "clip", "epochs": 2, "data.spec": spec, "data.max_bad_share": 0.05})
    run = train(cfg, tmp_path / "run", quiet=True)
    assert [line["pairs"] for line in run.log() if line["event"] == "epoch"] == [242, 241]


def test_a_run_whose_config_is_read_back_is_the_run_that_was_asked_for(tiny_run: RunDir) -> None:
    assert override(tiny_run.config(), {"manifest": None}) == tiny.config()
    assert json.loads((tiny_run.checkpoints / "epoch-005/state.json").read_text())["epoch"] == 6


def test_what_a_checkpoint_counts_on_is_on_the_disk_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log's and the splits' lengths: a power loss must not leave a checkpoint that is newer than they are."""
    done: list[str] = []
    monkeypatch.setattr(run, "sync", lambda path: path.suffix == ".jsonl" and done.append(path.name))
    monkeypatch.setattr(checkpoint, "save", lambda folder, name, *_: done.append(name))
    train(tiny.config({"epochs": 3}), tmp_path / "run", quiet=True)
    assert done == [*["log.jsonl", "epoch-001"], *["log.jsonl", "epoch-002"], "log.jsonl", "split.jsonl", "epoch-003"]
