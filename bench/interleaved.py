"""Times several things in one run, in turn, so that whatever else the machine does falls on all of them alike.

A figure is the median over the rounds; a comparison is the median of the rounds' own ratios, never of two runs. On a
GPU the clock counts, on a CPU the processor time of this process, all its threads added up: of a busy machine that is
what can be told.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from safeclip.run import machine, write_json

RESULTS = Path(__file__).parent / "results"


def seconds_of(
    runs: dict[str, Callable[[], object]], rounds: int, warm: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each run in each round; the order turns from round to round. warm: rounds that do not count."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    names, found = list(runs), {name: [] for name in runs}
    for i in range(warm + rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            wait_for(device)
            start = clock()
            runs[name]()
            wait_for(device)
            if i >= warm:
                found[name].append(clock() - start)
    return found


def ratio(seconds: dict[str, list[float]], one: str, other: str) -> float:
    """How many times as long `one` takes as `other`: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def keep(name: str, device: torch.device, settings: dict[str, Any], result: dict[str, Any]) -> None:
    """Write bench/results/NAME.json (NAME-gpu.json on CUDA) with machine, versions and settings, and say where."""
    about: dict[str, Any] = {"machine": machine(), "device": device.type, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        about |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    target = RESULTS / f"{name}{'-gpu' if device.type == 'cuda' else ''}.json"
    write_json(target, about | {"settings": settings} | result)
    print(f"written: bench/results/{target.name}")


def device_of(gpu: bool) -> torch.device:
    """The device that the bench runs on; SystemExit where --gpu is asked of a machine without one."""
    if gpu and not torch.cuda.is_available():
        raise SystemExit("--gpu: no CUDA device here; leave it out for the CPU form")
    return torch.device("cuda" if gpu else "cpu")
