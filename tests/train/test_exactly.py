"""Operations without a deterministic form end a run that promises to repeat to the bit, and only that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from safeclip.errors import RunError
from safeclip.train.exactly import exactly
from tests.train import toy
from tests.train.test_step import stepper


@pytest.fixture(autouse=True)
def warned() -> Iterator[None]:
    """As the loop has it."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


class Unsteady(torch.autograd.Function):
    """Its backward pass writes to one place many times."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        return x * 1.0

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return torch.zeros_like(grad).put_(torch.zeros(len(grad), dtype=torch.long), grad)


def loss() -> torch.Tensor:
    found: torch.Tensor = Unsteady.apply(torch.ones(3, requires_grad=True)).sum()
    return found


def test_what_has_no_deterministic_form_is_one_line() -> None:
    said = r"put_ does not have a deterministic implementation.* deterministic = false"
    with pytest.raises(RunError, match=said) as why, exactly(True):
        loss().backward()
    assert "\n" not in str(why.value)
    assert torch.is_deterministic_algorithms_warn_only_enabled(), "as it was"


@pytest.mark.filterwarnings("ignore")
def test_without_it_a_warning_is_enough() -> None:
    with exactly(False):
        loss().backward()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="grad can be implicitly created"), exactly(True):
        torch.ones(3, requires_grad=True).backward()
    assert torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_that_promises_it_takes_no_gradient_without(parts: int) -> None:
    made = stepper(toy.clip(), **{"optim.accumulate": parts})
    losses = made.method.loss
    made.method.loss = lambda *given: Unsteady.apply(losses(*given).reshape(1)).sum()
    made.exact = True
    with pytest.raises(RunError, match="deterministic = false"):
        made(toy.inputs("unimodal", 2, 8), 1e-3)
