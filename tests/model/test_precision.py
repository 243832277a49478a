"""bf16 only where it is faster."""

from __future__ import annotations

import pytest
import torch

from safeclip.model.precision import resolve


@pytest.mark.parametrize(("capability", "wanted"), [((7, 0), "fp32"), ((7, 5), "fp32"), ((8, 0), "bf16")])
def test_a_gpu_that_emulates_bf16_computes_in_float32(
    capability: tuple[int, int], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or capability >= (8, 0)

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert resolve("auto", torch.device("cuda")) == wanted
    assert resolve("bf16", torch.device("cuda")) == "bf16", "who asks for it gets it"
