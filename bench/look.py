"""What the vetoes' verdict costs, beside reading the pictures: seconds a pair, and memory at its peak.

    python bench/look.py               on a CPU, 4,000 and 16,000 pairs; two minutes of a core
    python bench/look.py --gpu         100 thousand and 1 million pairs

Pictures are drawn, noise over one of 500; captions are words of a Zipf law beside the one of that picture; the code is
that of the method, with the settings of `small64`. Each size runs in a process of its own, so that its peak is its own.
Prints, and writes to bench/results/look.json: of each size seconds in all and a pair, bytes that a look holds of a pair
(`held`), and the most that the verdict takes beside them (`peak`, `gpu_peak`). What `peak` has in common at all sizes
are the pictures that the others are compared with, and the chunks.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from interleaved import device_of, keep, wait_for

from safeclip.methods.verdicts import judge
from safeclip.presets import preset
from safeclip.signals.glance import Glance
from safeclip.signals.texture import TEXTURE
from safeclip.signals.thumbnails import SIDE
from safeclip.signals.words import ID, WIDTH

MEANINGS, WORDS = 500, 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = device_of(args.gpu)
    if args.measure:
        print(json.dumps(of_size(args.measure, device, args.seed)))
        return
    sizes = args.sizes or ((100_000, 1_000_000) if args.gpu else (4_000, 16_000))
    found = {str(size): measured(size, args.gpu, args.seed) for size in sizes}
    for size, cost in found.items():
        print(f"{int(size):>10,} pairs: " + ", ".join(f"{name} {value:,.4g}" for name, value in cost.items()))
    keep("look", device, {"seed": args.seed}, {"of": found})


def measured(pairs: int, gpu: bool, seed: int) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__)), "--measure", str(pairs), "--seed", str(seed)]
    told = subprocess.run([*command, *(["--gpu"] if gpu else [])], check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def of_size(pairs: int, device: torch.device, seed: int) -> dict[str, float]:
    glance = drawn(pairs, seed)
    own, before = preset("small64").safeclip, _most_resident()
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    judge(glance, own, device)
    wait_for(device)
    seconds = clock() - start
    held = sum(part.nbytes for part in (glance.hashes, glance.thumbnails, glance.textures, glance.words, glance.ends))
    held += glance.captions.numel() * glance.captions.element_size()
    cost = {"seconds": seconds, "microseconds_a_pair": 1e6 * seconds / pairs, "held_a_pair": held / pairs}
    cost |= {"peak": float(_most_resident() - before)}
    return cost | ({"gpu_peak": float(torch.cuda.max_memory_allocated())} if device.type == "cuda" else {})


def drawn(pairs: int, seed: int) -> Glance:
    """Some pairs that look and speak like others of their meaning."""
    random = np.random.default_rng(seed)
    shown = random.integers(0, 128, (MEANINGS, SIDE, SIDE, 3), np.uint8)
    meaning = random.integers(0, MEANINGS, pairs)
    small = np.empty((pairs, SIDE, SIDE, 3), np.uint8)
    for start in range(0, pairs, 10_000):
        rows = slice(start, start + 10_000)
        small[rows] = shown[meaning[rows]] + random.integers(0, 128, small[rows].shape, np.uint8)
    words = np.zeros((pairs, WIDTH), ID)
    words[:, 0] = 2 * meaning + 2  # ids are even: the last bit is a plural's
    words[:, 1:9] = 2 * (random.zipf(1.3, (pairs, 8)) % WORDS + MEANINGS + 1)
    hashes = random.integers(1, 2**63, pairs, dtype=np.uint64)
    return Glance(hashes, small, random.standard_normal((pairs, TEXTURE), np.float32), words, np.zeros_like(words))


def _most_resident() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
