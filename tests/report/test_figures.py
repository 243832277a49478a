"""The page's charts read of a run's scores what they draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safeclip.report import facts
from safeclip.report.figures import histograms, outliers, two_signals
from safeclip.run import read_scores
from tests.report.make_fixture import make_demo


def test_no_chart_reads_a_column_that_it_does_not_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_demo(tmp_path, methods=("safeclip", "filter"))
    run = {run.method: run for run in facts.read(tmp_path).runs}
    read: list[set[str]] = []

    def watched(*given: Any) -> dict[str, np.ndarray]:
        found = read_scores(*given)
        read.append({*found})
        return found

    monkeypatch.setattr(facts, "read_scores", watched)
    drawn, planted = {"uid", "similarity", "safe"}, np.arange(9)
    assert len(histograms(run["safeclip"], planted)) == len(read) > 1
    assert two_signals(run["safeclip"], planted) is not None
    assert outliers(run["filter"], planted, "dao") is not None
    *each, signals, risk = read
    assert all(columns == drawn for columns in each)
    assert signals == drawn | {"neighbours"}
    assert risk == drawn | {"risk"}


def test_columns_that_are_not_there_are_not_read(tmp_path: Path) -> None:
    make_demo(tmp_path, methods=("safeclip",))
    file = next((tmp_path / "safeclip/scores").iterdir())
    assert [*read_scores(file, {"uid", "no such"})] == ["uid"]
    assert {"uid", "similarity", "safe"} < {*read_scores(file)}
