"""`safeclip` in several processes that are ranks of one run, over gloo, each forked from a server that has torch
imported. What one process does in float32 and several do differ by rounding, which training makes grow; in double
precision the same code is compared to eight digits, so that nothing but the ranks can be the difference.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from safeclip.run import RunDir, read_scores
from tests.train.lives import _FORKED as FORKED

CONFIGS = Path(__file__).parent / "configs"
Change = Callable[[int], None]
"""Made to the code in each process before it starts; takes the rank."""


def run(world: int, arguments: list[str], told: Path, *changes: Change, seconds: float = 120) -> list[int]:
    """`safeclip ARGUMENTS` on `world` ranks. Returns their exit codes; what each said on stderr is in `said`.

    Raises AssertionError where they have not all ended in time.
    """
    told.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        FORKED.Process(target=_rank, args=(rank, world, port, arguments, told, changes)) for rank in range(world)
    ]
    end = time.monotonic() + seconds
    for process in processes:
        process.start()
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    hung = [rank for rank, process in enumerate(processes) if process.exitcode is None]
    for process in processes:
        process.kill()
    assert hung == [], f"ranks {hung} have not ended after {seconds} s"
    return [int(process.exitcode or 0) for process in processes]


def said(told: Path, rank: int) -> str:
    return (told / f"rank-{rank}.txt").read_text()


def _rank(rank: int, world: int, port: int, arguments: list[str], told: Path, changes: tuple[Change, ...]) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = told / (f"rank-{rank}.txt" if name == "stderr" else f"rank-{rank}-out.txt")
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if world > 1:
        about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in about.items()})
    import torch

    from safeclip.cli import main

    torch.set_num_threads(1)
    for change in changes:
        change(rank)
    sys.exit(main(arguments))


def in_double(rank: int) -> None:
    """Every computation of this process."""
    import torch

    from safeclip.methods import running_scores
    from safeclip.model import build, embed
    from safeclip.model.open_clip_import import import_open_clip

    import_open_clip()
    build._factory().add_model_config(CONFIGS)
    single, double, shared = torch.Tensor.float, torch.Tensor.double, running_scores._shared

    def compute_in(kind: torch.dtype) -> None:
        torch.set_default_dtype(kind)
        torch.Tensor.float = single if kind == torch.float32 else double  # type: ignore[method-assign]

    def in_single(colour: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def painted(*about: Any) -> torch.Tensor:
            compute_in(torch.float32)  # the pictures are the same on any rank
            pixels = colour(*about)
            compute_in(torch.float64)
            return pixels.double()

        return painted

    compute_in(torch.float64)
    running_scores._shared = lambda shape, kind: shared(shape, torch.float64 if kind == torch.float32 else kind)
    for module in (importlib.import_module("safeclip.train.step"), embed):
        module.colour = in_single(module.colour)  # type: ignore[attr-defined]


def differences(first: RunDir, second: RunDir, name: str, tolerance: float = 1e-6) -> list[str]:
    """What differs in checkpoint `name`, the scores and the splits up to it: counts and masks at all, numbers by more
    than the tolerance, relative to the largest of their tensor."""
    found = []
    for kind in ("model", "state"):
        one, two = (load_file(run.checkpoints / name / f"{kind}.safetensors") for run in (first, second))
        found += [key for key in one.keys() | two.keys() if not _near(one.get(key), two.get(key), tolerance)]
    for file in sorted((first.path / "scores").glob("*")):
        one, two = read_scores(file), read_scores(second.path / "scores" / file.name)
        found += [f"{file.name}/{key}" for key in one.keys() | two.keys() if not _near(one[key], two[key], 1e-4)]
    splits = list(zip(first.splits(), second.splits(), strict=True))
    for one, two in splits:
        found += [f"split/{key}" for key in one if not _near(_array(one[key]), _array(two[key]), 1e-4)]
    return sorted(found)


def _near(one: Any, two: Any, tolerance: float) -> bool:
    if one is None or two is None or one.shape != two.shape:
        return False
    if one.dtype.kind != "f":
        return bool((one == two).all())
    if one.dtype == np.float16:  # the running embeddings are kept in half precision
        tolerance = 2e-3
    return not one.size or bool(np.abs(one - two).max() <= tolerance * max(float(np.abs(one).max()), 1e-3))


def _array(value: Any) -> np.ndarray:
    return np.array(str(value)) if isinstance(value, (dict, str, bool, int)) or value is None else np.array(value)
