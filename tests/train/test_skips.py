"""A loss or gradient that is not finite: the step is not taken, leaves no trace, is counted and names its pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from safeclip.config import OptimConfig
from safeclip.errors import RunError
from safeclip.methods import clip as plain
from safeclip.run import RunDir
from safeclip.train.loop import resume, train
from safeclip.train.skips import Skips
from tests import tiny
from tests.outcome import differences, outcome
from tests.train import toy
from tests.train.test_step import PAIRS, stepper


def state(made) -> dict[str, torch.Tensor]:
    """Everything that a step may change."""
    found = {f"net.{name}": t.clone() for name, t in made.clip.net.state_dict().items()}
    for i, slots in made.optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{i}.{key}": value.clone() for key, value in slots.items()}
    return found | {f"method.{key}": value.clone() for key, value in made.method.state_dict().tensors.items()}


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_leaves_no_trace(where: str, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = toy.clip()
    clip.net.image = nn.Sequential(*clip.net.image, nn.BatchNorm1d(toy.DIM))
    made = stepper(clip, **{"optim.accumulate": parts, "optim.clip_norm": 1.0})
    made(toy.inputs("unimodal", 2, PAIRS), 1e-3)  # moments and pools are there to be spoiled
    before, whole = state(made), made.method.loss
    broken = {
        "loss": lambda *given: whole(*given) * float("nan"),
        "gradient": lambda *given: whole(*given) + 0 * (given[3] - given[3].detach()).abs().sqrt(),  # 0 times infinity
    }[where]
    monkeypatch.setattr(made.method, "loss", broken)
    for _ in range(2):
        assert torch.isnan(made(toy.inputs("unimodal", 2, PAIRS, seed=1), 1e-3))
    after = state(made)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    monkeypatch.setattr(made.method, "loss", whole)
    assert torch.isfinite(made(toy.inputs("unimodal", 2, PAIRS, seed=1), 1e-3)), "and the next one is taken"
    assert not torch.equal(state(made)["net.text.weight"], before["net.text.weight"])


def test_limits_in_a_row_and_in_all() -> None:
    skips, uids = Skips(OptimConfig(max_nan_in_a_row=2, max_nan_steps=4)), np.arange(9)
    for _ in range(2):
        said = skips.add("epoch 1, batch 3", "clip", uids)
    assert said == (
        "epoch 1, batch 3: the clip loss or its gradient is not finite, step skipped (2 in a row, 2 in all); "
        "uids 0, 1, 2, 3, 4, ..."
    )
    resumed = Skips(skips.optim)
    resumed.load_state_dict(skips.state_dict())
    with pytest.raises(RunError, match=r"more than optim\.max_nan_in_a_row = 2: lower optim\.rate"):
        resumed.add("epoch 1, batch 4", "clip", uids)
    for _ in range(2):
        skips.taken()
        skips.add("epoch 1, batch 4", "clip", uids)
    skips.taken()
    with pytest.raises(RunError, match=r"more than optim\.max_nan_steps = 4: lower optim\.rate"):
        skips.add("epoch 1, batch 4", "clip", uids)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """CLIP losses, counted from 1, that are NaN."""
    whole, calls, which = plain.clip_loss, [], set()

    def breaks(*parts):
        calls.append(1)
        return whole(*parts) * (float("nan") if len(calls) in which else 1)

    monkeypatch.setattr(plain, "clip_loss", breaks)
    return which


def planned(cfg, epoch: int, batch: int) -> list[int]:
    return plain.PlainClip(cfg, 240, 128).plan(epoch, np.ones(240, bool)).batches[batch].uids.tolist()


def test_a_skipped_step_is_logged_with_all_its_uids_and_the_run_goes_on(
    broken: set[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken |= {9}
    cfg = tiny.config({"method": "clip", "epochs": 2})
    run = train(cfg, tmp_path / "run", quiet=True)
    uids = planned(cfg, 2, 2)
    skips = [line for line in run.log() if line["event"] == "skip"]
    assert skips == [{"event": "skip", "epoch": 2, "step": 9, "batch": 2, "objective": "clip", "uids": uids}]
    says = capsys.readouterr().err
    assert says.count("\n") == 1
    assert f"step skipped (1 in a row, 1 in all); uids {', '.join(map(str, uids[:5]))}, ..." in says
    epochs = [line for line in run.log() if line["event"] == "epoch"]
    assert all(np.isfinite(line["loss"]["clip"]) for line in epochs)
    assert [line["step"] for line in epochs] == [tiny.STEPS, 2 * tiny.STEPS], "it counts in the schedule"


def test_too_many_in_a_row_stop_the_run_and_keep_the_last_checkpoint(broken: set[int], tmp_path: Path) -> None:
    broken |= {8, 9, 10}
    cfg = tiny.config({"method": "clip", "epochs": 2, "optim.max_nan_in_a_row": 2})
    with pytest.raises(RunError) as error:
        train(cfg, tmp_path / "run", quiet=True)
    says = str(error.value)
    assert says.startswith("epoch 2, batch 3: the clip loss or its gradient is not finite")
    assert ", ".join(map(str, planned(cfg, 2, 3)[:5])) in says
    assert "\n" not in says
    assert (tmp_path / "run/checkpoints/latest").read_text() == "epoch-001\n"


def test_skips_survive_a_resume(broken: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stopped right after a skip and resumed ends as one that was not; the count goes on."""
    broken |= {3, 12 + 3}
    changes = {"method": "clip", "epochs": 2, "checkpoint_minutes": 1e-6, "keep_checkpoints": 99}
    whole = train(tiny.config(changes), tmp_path / "whole", quiet=True)
    again = train(tiny.config(changes), tmp_path / "again", quiet=True)
    broken.clear()  # the third loss, the skipped one, lies before the checkpoint
    (again.checkpoints / "latest").write_text("epoch-001-batch-000003\n")
    resume(tmp_path / "again", quiet=True)
    assert differences(outcome(whole), outcome(RunDir(again.path))) == []
    assert outcome(whole)["state.json"]["skips"] == [1, 0]
