"""The same gradients every time, to the bit, on a GPU too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from safeclip.errors import RunError, reason


@contextlib.contextmanager
def exactly(wanted: bool) -> Iterator[None]:
    """Inside it, every operation takes its deterministic form; attention's only where torch is not asked to
    warn of the others. Raises RunError where one has no such form."""
    if not wanted:
        yield
        return
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise RunError(
            f"{reason(error)}; with deterministic = false it runs, but no run repeats another to the bit"
        ) from None
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warned)
