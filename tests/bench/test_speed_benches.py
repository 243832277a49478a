"""The speed benches run in a short form and write what they promise; the GPU form is refused where there is no GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"
CPU = torch.device("cpu")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a bench with arguments; its record."""
    monkeypatch.syspath_prepend(str(BENCH))
    import interleaved

    monkeypatch.setattr(interleaved, "RESULTS", tmp_path)

    def run(name: str, *arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [f"bench/{name}.py", *arguments])
        __import__(name).main()
        return json.loads((tmp_path / f"{name}.json").read_text("utf-8"))

    return run


def test_things_take_turns_and_warm_rounds_do_not_count(bench: Any) -> None:
    from interleaved import ratio, seconds_of

    order: list[str] = []
    runs = {name: lambda name=name: order.append(name) for name in "abc"}
    found = seconds_of(runs, rounds=3, warm=1, device=CPU)
    assert "".join(order) == "abcbcacababc"
    assert [len(times) for times in found.values()] == [3, 3, 3]
    assert ratio({"a": [2.0, 9.0, 4.0], "b": [1.0, 3.0, 4.0]}, "a", "b") == 2.0


def test_the_step_bench(bench: Any) -> None:
    found = bench("step", "--models", "safeclip-emoji:8", "--rounds", "2")
    (model,) = found["models"]
    assert model["model"] == "safeclip-emoji"
    assert model["times_as_fast_as_open_clip"]["open_clip"] == 1.0
    assert set(model["pairs_per_second"]) == {
        "open_clip",
        "clip",
        "clip, whole captions, not compiled",
        "risky, two views",
    }
    assert found["settings"]["seed"] == 0


def test_the_scale_bench(bench: Any) -> None:
    found = bench("scale", "--sizes", "1000", "2000", "--rounds", "1")
    assert set(found["growth"]) == {"plan", "mixture", "rank and cut", "copies", "running scores", "neighbours"}
    assert set(found["seconds"]) == {"1000", "2000"}


@pytest.mark.slow
def test_the_feed_bench(bench: Any) -> None:
    found = bench("feed", "--pairs", "8", "--rounds", "1")
    assert found["pairs_per_second_of_a_core"]["batch, one view"] > 0
    assert set(found["demo_batch_over_step"]) == {"clip", "unimodal"}


@pytest.mark.slow
def test_the_epoch_bench(bench: Any) -> None:
    found = bench("epoch", "--pairs", "256", "--rounds", "1")
    assert found["defended_over_plain"] > 0
    assert found["one_view_over_plain"] > 0
    assert [line["phase"] for line in found["epochs"]["safeclip"]] == ["warmup", "align", "defend", "defend", "defend"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["step", "feed", "epoch", "scale"])
def test_the_gpu_form_is_refused_without_one(bench: Any, name: str) -> None:
    with pytest.raises(SystemExit, match="no CUDA device here"):
        bench(name, "--gpu")
