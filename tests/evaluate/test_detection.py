"""AUROC, average precision and planted recall: against loops over pairs, and of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from safeclip.config import SIGNALS
from safeclip.errors import InputError
from safeclip.evaluate import detection as module
from safeclip.evaluate.detection import LOW_IS_RISKY, _attack_of, detection, measure
from safeclip.run import RunDir, read_scores, write_scores
from tests.reference.detection import auroc, average_precision, recall_at


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("levels", [2, 3, 100])
def test_matches_loops_over_pairs_ties_among_them(seed: int, levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARES", (0.2, 0.5, 0.6))
    random = np.random.default_rng(seed)
    risk = random.integers(0, levels, 7).astype(float)
    planted = random.permutation([True, True, False, False, False, True, False])
    found = measure(risk, planted)
    plain = risk.tolist(), planted.tolist()
    assert found["auroc"] == pytest.approx(auroc(*plain))
    assert found["ap"] == pytest.approx(average_precision(*plain))
    wanted = {"0.2": recall_at(1, *plain), "0.5": recall_at(4, *plain), "0.6": recall_at(4, *plain)}
    assert found["recall"] == pytest.approx(wanted)


def test_matches_scikit_learn_on_many_pairs() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    planted = random.random(3000) < 0.03
    risk = np.round(random.normal(size=3000) + planted, 1)
    found = measure(risk, planted)
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(planted, risk))
    assert found["ap"] == pytest.approx(metrics.average_precision_score(planted, risk))


def test_a_constant_score_earns_what_chance_earns() -> None:
    planted = np.zeros(1000, bool)
    planted[:30] = True
    found = measure(np.full(1000, 0.7), planted)
    assert found["auroc"] == 0.5
    assert found["ap"] == pytest.approx(0.03)
    assert found["recall"] == pytest.approx({"0.01": 0.01, "0.05": 0.05, "0.1": 0.1, "0.2": 0.2})


def test_a_perfect_score_is_perfect_and_a_reversed_one_is_worth_nothing() -> None:
    planted = np.arange(200) < 2
    risk = -np.arange(200.0)
    assert measure(risk, planted)["recall"] == {"0.01": 1.0, "0.05": 1.0, "0.1": 1.0, "0.2": 1.0}
    assert (measure(risk, planted)["auroc"], measure(risk, planted)["ap"]) == (1.0, 1.0)
    assert (measure(-risk, planted)["auroc"], measure(-risk, planted)["recall"]["0.2"]) == (0.0, 0.0)


@pytest.mark.parametrize("planted", [0, 5])
def test_without_planted_pairs_or_without_others_there_is_nothing_to_measure(planted: int) -> None:
    found = measure(np.arange(5.0), np.arange(5) < planted)
    assert found == {"auroc": None, "ap": None, "recall": None, "planted": planted, "pairs": 5}


@pytest.fixture
def run(tiny_run: RunDir, tmp_path: Path) -> RunDir:
    shutil.copytree(tiny_run.path, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    return RunDir(tmp_path / "run")


def test_every_float_score_of_every_epoch_is_measured_for_each_attack_and_all(run: RunDir) -> None:
    found = detection(run)
    keys = [(entry["epoch"], entry["score"], entry["attack"]) for entry in found]
    scores = ("similarity", "p_safe", "risk", "neighbours")
    assert len(set(keys)) == len(keys)
    assert set(keys) == {(e, s, a) for e in (3, 4, 5) for s in scores for a in (None, "targeted", "badnets")}
    assert {(entry["attack"], entry["planted"], entry["pairs"]) for entry in found} == {
        (None, 16, 240),
        ("targeted", 8, 232),
        ("badnets", 8, 232),
    }


def test_each_score_counts_from_the_end_that_is_risky(run: RunDir) -> None:
    from safeclip.attacks.manifest import Manifest

    file = run.scores_file(5)
    columns = read_scores(file)
    planted = Manifest.load(run.manifest_file).attack_of(columns["uid"]) != ""
    low, high = np.where(planted, -1.0, 1.0).astype(np.float32), planted.astype(np.float32)
    kept = {"uid": columns["uid"], "safe": columns["safe"]}
    lows = dict.fromkeys(("similarity", "neighbours", "p_safe"), low)
    write_scores(file, kept | lows | dict.fromkeys(("risk", "kdist", "slof", "lid", "dao"), high))
    found = [entry for entry in detection(run) if entry["epoch"] == 5]
    assert {entry["score"] for entry in found} == {*lows, "risk", "kdist", "slof", "lid", "dao"}
    assert {entry["auroc"] for entry in found} == {1.0}


def test_every_signal_of_agreement_counts_from_its_low_end() -> None:
    """A signal that came later and was forgotten here would have its AUROC turned round."""
    assert {name for name in SIGNALS if name != "cosine"} <= LOW_IS_RISKY
    assert "similarity" in LOW_IS_RISKY, "as the cosine is called among the scores"


def test_a_score_that_is_nan_is_refused_by_name(run: RunDir) -> None:
    columns = read_scores(run.scores_file(4))
    risk, safe = columns["risk"].copy(), np.flatnonzero(columns["safe"])
    risk[safe[[0, 7]]] = np.nan
    write_scores(run.scores_file(4), columns | {"risk": risk})
    with pytest.raises(InputError, match=r"epoch-004\.parquet: risk of 2 pairs is NaN"):
        detection(run)


def test_pairs_that_were_left_out_have_no_score_and_are_not_compared(run: RunDir) -> None:
    columns = read_scores(run.scores_file(4))
    risk, out = columns["risk"].copy(), np.flatnonzero(~columns["safe"])[:5]
    before = next(e for e in detection(run) if e["epoch"] == 4 and e["score"] == "risk" and e["attack"] is None)
    risk[out] = np.nan
    write_scores(run.scores_file(4), columns | {"risk": risk})
    after = next(e for e in detection(run) if e["epoch"] == 4 and e["score"] == "risk" and e["attack"] is None)
    assert after["pairs"] == before["pairs"] - 5
    assert 0 <= after["auroc"] <= 1


def test_torn_scores_are_named_in_one_line(run: RunDir) -> None:
    file = run.scores_file(4)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"epoch-004\.parquet: holds no scores of an epoch; restore it"):
        detection(run)


def test_pairs_find_their_attack_in_any_order_of_uids(run: RunDir) -> None:
    from safeclip.attacks.manifest import Manifest

    manifest = Manifest.load(run.manifest_file)
    names = [attack["name"] for attack in manifest.attacks]
    uids = np.random.default_rng(0).permutation(240)
    wanted = manifest.attack_of(uids)
    assert [("", *names)[place] for place in _attack_of(uids, manifest, names)] == wanted.tolist()


def test_a_run_without_manifest_or_without_scores_has_nothing_to_detect(run: RunDir) -> None:
    run.manifest_file.rename(run.path / "elsewhere.parquet")
    assert detection(run) == []
    (run.path / "elsewhere.parquet").rename(run.manifest_file)
    shutil.rmtree(run.path / "scores")
    assert detection(run) == []
