"""An epoch of plain CLIP against a defended epoch of SafeCLIP, end to end: from JPEG shards to the checkpoint; risky
pairs in two views, and in one.

    python bench/epoch.py              on a CPU, the emoji towers on small pictures, without workers
    python bench/epoch.py --gpu        RN50 on pictures of 500 x 375 px, a worker a core, compiled; about 8 minutes

Both are `safeclip train` itself; the runs take turns. The alignment epoch looks at every pair once first, for the
vetoes; the others need no pass of their own (running scores). The first plain epoch and the warm-up, which compile, do
not count.
Prints, and writes to bench/results/epoch.json: pairs/s, how many plain epochs a defended one costs, and on a GPU the
share of the speed on inputs that lie on the device.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from interleaved import device_of, keep, seconds_of
from made_shards import make_shards
from step import inputs_of, ours

from safeclip.config import DataConfig, ModelConfig, RunConfig, override
from safeclip.model.build import build
from safeclip.model.precision import resolve
from safeclip.presets import preset
from safeclip.train.loop import train

WARM, DEFENDED = 1, 3
PLAIN, TWO_VIEWS, ONE_VIEW = "clip", "safeclip", "safeclip, risky pairs in one view"
RUNS = {PLAIN: {"method": "clip"}, TWO_VIEWS: {}, ONE_VIEW: {"safeclip.risky_views": 1}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--pairs", type=int, help="30,720 on a GPU, 768 on a CPU")
    parser.add_argument("--rounds", type=int, help="1 on a GPU, 2 on a CPU")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device, rounds = device_of(args.gpu), args.rounds or (1 if args.gpu else 2)
    pairs, size = args.pairs or (30_720 if args.gpu else 768), (500, 375) if args.gpu else (80, 60)
    epochs: dict[str, list[dict[str, Any]]] = {name: [] for name in RUNS}
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(make_shards(Path(folder) / "shards", pairs, size, args.seed), args.gpu, args.seed)
        for i in range(rounds):
            for name in list(RUNS) if i % 2 == 0 else reversed(RUNS):
                with clock(device):
                    run = train(override(config, RUNS[name]), Path(folder) / f"{name}-{i}", quiet=True)
                epochs[name] += [line for line in run.log() if line["event"] == "epoch"]
    result = figures(epochs)
    if args.gpu:
        result |= against_synthetic(result, config, device, args.seed)
    for name, value in result.items():
        if isinstance(value, float):
            print(f"{name}: {value:,.2f}")
    said = {"pairs": pairs, "size": size, "rounds": rounds, "seed": args.seed, "model": config.model.name}
    keep("epoch", device, said | {"batch": config.optim.batch_size, "workers": config.data.workers}, result)


def config_of(spec: str, gpu: bool, seed: int) -> RunConfig:
    """Of both methods: one view in the CLIP loss, the signals and scores of the presets."""
    base = preset("cc12m_vitb32" if gpu else "emoji")
    return replace(
        base,
        epochs=2 * WARM + DEFENDED,
        seed=seed,
        evaluate=False,
        deterministic=not gpu,
        data=DataConfig(spec=spec, cache_mib=0, workers=(os.cpu_count() or 1) if gpu else 0),
        model=ModelConfig(name="RN50", compile="default") if gpu else base.model,
        optim=replace(base.optim, batch_size=512 if gpu else 128),
        safeclip=replace(base.safeclip, warmup_epochs=WARM, align_epochs=WARM),
    )


def clock(device: torch.device) -> AbstractContextManager[Any]:
    """On a CPU the loop's clock is the processor's time, of which other processes take nothing (interleaved.py)."""
    if device.type == "cuda":
        return nullcontext()
    return mock.patch("safeclip.train.loop.time", SimpleNamespace(monotonic=time.process_time))


def figures(epochs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    def seconds(run: str, phase: str, among: Callable[[int], bool]) -> float:
        return statistics.median(
            line["seconds"] for line in epochs[run] if line["phase"] == phase and among(line["epoch"])
        )

    plain = seconds(PLAIN, "clip", lambda epoch: epoch > WARM)
    defended, one_view = (seconds(run, "defend", lambda epoch: True) for run in (TWO_VIEWS, ONE_VIEW))
    warmup, align = (seconds(TWO_VIEWS, phase, lambda epoch: True) for phase in ("warmup", "align"))
    pairs = epochs[PLAIN][0]["pairs"]
    return {
        "pairs_per_second_plain": pairs / plain,
        "pairs_per_second_defended": pairs / defended,
        "pairs_per_second_one_view": pairs / one_view,
        "defended_over_plain": defended / plain,
        "one_view_over_plain": one_view / plain,
        "align_over_plain": align / plain,
        "warmup_over_plain": warmup / plain,
        "epochs": {
            method: [{key: line.get(key) for key in ("epoch", "phase", "seconds", "activations_mib")} for line in lines]
            for method, lines in epochs.items()
        },
    }


def against_synthetic(result: dict[str, Any], config: RunConfig, device: torch.device, seed: int) -> dict[str, float]:
    """The plain epoch against the same steps on inputs that lie on the device."""
    clip, batch = build(config.model, seed=seed), config.optim.batch_size
    clip.net.to(device, memory_format=torch.channels_last)
    inputs, arithmetic = inputs_of(clip, batch, 1, device, seed), resolve("auto", device)
    step: Callable[[], object] = ours(clip, "clip", batch, inputs, device, arithmetic, config.model.compile)
    seconds = seconds_of({"step": step}, rounds=20, warm=5, device=device)["step"]
    speed = batch / statistics.median(seconds)
    return {"pairs_per_second_synthetic": speed, "of_synthetic": result["pairs_per_second_plain"] / speed}


if __name__ == "__main__":
    main()
