"""What an epoch costs beside its steps, from 10 thousand to 1 million pairs: plan, split, copies, neighbours, keeping
running scores.

    python bench/scale.py              on a CPU, neighbours told from 10,000 of the pairs; about a minute
    python bench/scale.py --gpu        all neighbours, on the GPU; about 4 minutes

Scores, embeddings and hashes are drawn; the code is that of the method. Prints, and writes to bench/results/scale.json:
microseconds a pair of each part at each size, and how each grows from the smallest to the largest: 1 is linear.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable

import numpy as np
import torch
from interleaved import device_of, keep, seconds_of

from safeclip.data.plan import plan
from safeclip.methods.running_scores import RunningScores
from safeclip.signals.copies import copy_groups
from safeclip.signals.neighbours import neighbour_agreement
from safeclip.split import fit_mixture, risk_of, safest

DIM, BATCH, REFERENCE = 128, 512, 100_000
SIZES = (10_000, 100_000, 1_000_000)
CPU_ROWS = 10_000
"""Pairs whose neighbours are sought on a CPU, among all: time goes as their number, the rest is told from them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = device_of(args.gpu)
    sizes = args.sizes or SIZES
    table = {size: of_size(size, args.rounds, device, args.seed) for size in sizes}
    small, large = min(sizes), max(sizes)
    growth = {part: seconds / table[small][part] * small / large for part, seconds in table[large].items()}
    print(f"{'pairs':>10} " + " ".join(f"{part:>16}" for part in growth) + "   microseconds a pair")
    for size, parts in table.items():
        print(f"{size:>10,} " + " ".join(f"{1e6 * seconds / size:16.2f}" for seconds in parts.values()))
    print("growth     " + " ".join(f"{value:16.2f}" for value in growth.values()) + "   1 is linear")
    result = {
        "seconds": {str(size): parts for size, parts in table.items()},
        "microseconds_a_pair": {
            str(size): {p: 1e6 * s / size for p, s in parts.items()} for size, parts in table.items()
        },
        "growth": growth,
    }
    settings = {"dim": DIM, "batch": BATCH, "reference": REFERENCE, "rounds": args.rounds, "seed": args.seed}
    keep("scale", device, settings, result)


def of_size(pairs: int, rounds: int, device: torch.device, seed: int) -> dict[str, float]:
    """Median seconds of each part of an epoch of `pairs` pairs."""
    random = np.random.default_rng(seed)
    cosine = np.concatenate([random.normal(0.1, 0.05, pairs // 3), random.normal(0.3, 0.08, pairs - pairs // 3)])
    cosine = cosine.clip(-1, 1).astype(np.float32)
    safe = random.random(pairs) < 0.6
    sides = {"unimodal": np.flatnonzero(~safe), "clip": np.flatnonzero(safe)}
    hashes = random.integers(1, 2**63, pairs, dtype=np.uint64)
    image, text = (unit(pairs, device, seed + i) for i in (0, 1))
    other = random.random(pairs)
    running, parts = RunningScores(pairs, DIM, keep=True), np.array_split(random.permutation(pairs), -(-pairs // BATCH))
    runs: dict[str, Callable[[], object]] = {
        "plan": lambda: plan(seed, 1, sides, BATCH),
        "mixture": lambda: fit_mixture(cosine),
        "rank and cut": lambda: safest(risk_of({"cosine": cosine, "other": other}), 0.6),
        "copies": lambda: copy_groups(hashes),
        "running scores": lambda: kept(running, parts, image, text),
    }
    found = {part: statistics.median(times) for part, times in seconds_of(runs, rounds, 1, device).items()}
    return found | {"neighbours": of_neighbours(image, text, rounds, device)}


def kept(running: RunningScores, parts: list[np.ndarray], image: torch.Tensor, text: torch.Tensor) -> None:
    """What a step of two views adds for its scores, over an epoch."""
    for uids in parts:
        rows = torch.from_numpy(uids).to(image.device)
        running.update(uids, [image[rows]] * 2, [text[rows]] * 2)
    running.embeddings()


def of_neighbours(image: torch.Tensor, text: torch.Tensor, rounds: int, device: torch.device) -> float:
    """Both directions' cost is this twice. On a CPU told from CPU_ROWS of the pairs."""
    pairs = len(image)
    if device.type == "cuda" or pairs <= CPU_ROWS:
        near, asked = image.half().cpu(), text.half().cpu()  # as running scores lie
        times = seconds_of({"all": lambda: neighbour_agreement(near, asked, device=device)}, rounds, 1, device)["all"]
        return statistics.median(times)
    among = min(pairs, REFERENCE)

    def some() -> None:
        for start in range(0, CPU_ROWS, 2048):
            (image[start : start + 2048] @ image[:among].T).topk(16, dim=1, sorted=False)

    return statistics.median(seconds_of({"some": some}, rounds, 0, device)["some"]) * math.ceil(pairs / CPU_ROWS)


def unit(pairs: int, device: torch.device, seed: int) -> torch.Tensor:
    drawn = torch.randn(pairs, DIM, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1).to(device)


if __name__ == "__main__":
    main()
