"""Held, weakened, through: by success above the base rate, one picture of grace where there are few."""

from __future__ import annotations

import pytest

from safeclip.report.verdict import HELD, PLANTED, verdict


@pytest.mark.parametrize(
    ("success", "n", "base_rate", "wanted"),
    [
        (0.0, 1000, None, "held"),
        (HELD, 1000, 0.0, "held"),
        (HELD + 0.001, 1000, 0.0, "weakened"),
        (0.32, 1000, 0.30, "held"),
        (0.10, 1000, 0.30, "held"),
        (1 / 16, 16, 0.0, "held"),
        (2 / 16, 16, 0.0, "weakened"),
        (PLANTED - 0.001, 1000, 0.0, "weakened"),
        (PLANTED, 1000, 0.0, "through"),
        (0.7, 1000, 0.3, "weakened"),
        (1.0, 16, None, "through"),
    ],
)
def test_success_is_judged_beside_its_base_rate(success, n, base_rate, wanted):
    assert verdict(success, n, base_rate, "backdoor") == wanted


def test_targeted_poisoning_that_spills_over_is_not_excused_by_it():
    assert verdict(4 / 16, 16, 0.3, "targeted") == "weakened"
    assert verdict(4 / 16, 16, 0.3, "swap") == "held"
