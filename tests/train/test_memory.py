"""A step that does not fit in memory ends with what would have fitted, found by trying."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from safeclip.errors import RunError
from safeclip.train.loop import train
from safeclip.train.memory import advice, is_out_of_memory, parts_that_fit
from safeclip.train.step import Stepper
from tests import tiny


@pytest.mark.parametrize(
    ("room", "says"),
    [
        (12, "out of memory with 40 pairs at once; 10 fit: set optim.accumulate = 4 (the same loss, in parts), or "
             "start anew with optim.batch_size = 10; `--resume` goes on with what "),
        (1, "out of memory with 40 pairs at once, and with 2 as well; take a smaller model.name"),
    ],
)  # fmt: skip
def test_the_run_ends_with_the_parts_that_fit(
    room: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for so many pairs from the third step on, as where captions grow longer."""
    whole, calls = Stepper._embed, []

    def embed(self: Stepper, inputs, rows: slice, grads):
        calls.append(1)
        if len(calls) > 2 and rows.stop - rows.start > room:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 MiB.")
        return whole(self, inputs, rows, grads)

    monkeypatch.setattr(Stepper, "_embed", embed)
    with pytest.raises(RunError) as error:
        train(tiny.config({"method": "clip", "epochs": 1}), tmp_path / "run", quiet=True)
    assert str(error.value).startswith(f"epoch 1, batch 2: {says}")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run/checkpoints").exists(), "what the trials did to the towers is not kept"


def test_a_machine_without_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**50)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_an_error_of_another_kind_in_a_trial_is_not_swallowed() -> None:
    def breaks(parts: int) -> None:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        parts_that_fit(breaks, 1, 40)


def test_parts_double_from_those_that_did_not_fit() -> None:
    tried: list[int] = []

    def full(parts: int) -> None:
        tried.append(parts)
        raise MemoryError

    assert parts_that_fit(full, 3, 50) is None
    assert tried == [6, 12, 24]
    assert "13 pairs at once; 5 fit: set optim.accumulate = 8" in advice(3, 8, 38)
