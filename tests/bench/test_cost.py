"""What the rest of a bench will take, going by what is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeclip.bench.cost import estimate, prospect
from safeclip.bench.grid import grid
from safeclip.bench.records import Records
from tests.bench.made import CLEANCLIP, record, spec


def test_a_run_costs_what_others_of_its_method_did_or_its_epochs_at_the_slowest_pace(tmp_path: Path) -> None:
    cells = grid(spec(methods=["clip", "safeclip", CLEANCLIP], attacks=["targeted"], seeds=[0, 1, 2]))
    records = Records(tmp_path, None)
    assert estimate(cells[0], cells, records) is None
    for cell, seconds in zip(cells[:2] + cells[3:4], (100.0, 300.0, 200.0), strict=True):
        records.keep(cell, record(cell, {"targeted": (1, 16)}, seconds=seconds))  # and 20 s outside training
    assert estimate(cells[6], cells, records) == pytest.approx((120 + 220) / 2), "clip"
    assert estimate(cells[4], cells, records) == pytest.approx(320), "safeclip"
    assert estimate(cells[2], cells, records) == pytest.approx(2 * 320 / 5), "cleanclip: 2 epochs"
    told = prospect(cells, cells, records, tmp_path)
    assert [entry["done"] for entry in told] == [True, True, False, True] + [False] * 5
    assert [entry["seconds"] for entry in told[:2]] == [120.0, 320.0]
