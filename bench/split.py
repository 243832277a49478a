"""The split at web scale: from 400 million cosines on disk to the safe mask as bits.

    python bench/split.py                          400 million generated cosines -> bench/results/split.json
    python bench/split.py --pairs 10000000 --into FILE

Generated: two normal components, as float32 in .npy files that are mapped into memory. Each form of the split runs in
a process of its own, so that its peak of memory is its own:

    one signal    histogram, EM, cut, first share, mask of the pairs of highest cosine, its bits
    two signals   the same, and before the mask the ranks of both signals, added up

`seconds` is the clock's, `cpu_seconds` the process's. `peak_bytes` is the most resident memory, the mapped files among
it, which the system may drop at any time; `own_bytes` is what remains of it without them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from safeclip.run import machine, write_json
from safeclip.split import first_share, fit_histogram, histogram, pack, parts, risk_of, safest
from safeclip.split.in_parts import cores

RESULTS = Path(__file__).parent / "results"
COMPONENTS = ((0.08, 0.06, 0.35), (0.32, 0.12, 0.65))
"""Mean, standard deviation and weight."""
TARGET = {"seconds": 15.0, "peak_bytes": 4 * 10**9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=400_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where the generated scores go meanwhile; needs 8 bytes a pair")
    parser.add_argument("--into", type=Path, default=RESULTS / "split.json")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(split(args.measure)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        files = [generate(Path(folder) / f"signal-{i}.npy", args.pairs, args.seed + i) for i in range(2)]
        forms = {"one signal": files[:1], "two signals": files}
        found = {name: measured(some) for name, some in forms.items()}
    record = {
        "machine": machine(),
        "threads": cores(),
        "settings": {"seed": args.seed},
        "pairs": args.pairs,
        "components": COMPONENTS,
        "target": TARGET,
        "load_before": os.getloadavg()[0],
        "forms": found,
    }
    write_json(args.into, record)
    for name, about in found.items():
        print(
            f"{name}: {args.pairs:,} pairs in {about['seconds']:.1f} s ({about['cpu_seconds']:.1f} s of one core), "
            f"peak {about['peak_bytes'] / 1e9:.2f} GB, {about['own_bytes'] / 1e9:.2f} GB of it not the scores' file; "
            f"{about['seconds'] / TARGET['seconds']:.2f} of the target's time"
        )


def generate(file: Path, pairs: int, seed: int) -> Path:
    """float32 cosines (N,), in parts with generators of their own."""
    scores_N = np.lib.format.open_memmap(file, "w+", np.float32, (pairs,))
    (mean, spread, weight), (upper_mean, upper_spread, _) = COMPONENTS
    for number, part in enumerate(parts(pairs)):
        rng = np.random.default_rng([seed, number])
        low = rng.random(part.stop - part.start, np.float32) < weight
        drawn = rng.standard_normal(part.stop - part.start, np.float32)
        scores = np.where(low, mean + spread * drawn, upper_mean + upper_spread * drawn)
        scores_N[part] = scores.clip(-1, 1)
    scores_N.flush()
    return file


def measured(files: list[Path]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", *map(str, files)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def split(files: list[str]) -> dict[str, Any]:
    """What a first split does, as methods/safeclip.py does it."""
    clock, memory = Clock(), Memory()
    signals = {file: np.load(file, mmap_mode="r") for file in files}
    cosine = signals[files[0]]
    mixture = fit_histogram(histogram(cosine))
    steps = {"fit": clock.lap()}
    share, cut, clamped = first_share(mixture, cosine, posterior=0.9, share_min=0.05, share_max=0.5)
    steps["cut_and_share"] = clock.lap()
    if len(signals) > 1:
        order = risk_of(signals)
        steps["ranks"] = clock.lap()
    else:
        order = np.negative(cosine)
    mask = safest(order, share)
    bits = pack(mask)
    steps["mask"] = clock.lap()
    return {
        "seconds": sum(seconds for seconds, _ in steps.values()),
        "cpu_seconds": sum(cpu for _, cpu in steps.values()),
        "steps_seconds": {name: seconds for name, (seconds, _) in steps.items()},
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "own_bytes": memory.peak(),
        "mask_bytes": bits.nbytes,
        "share": share,
        "cut": cut,
        "clamped": clamped,
        "safe": int(mask.sum()),
        "iterations": mixture.iterations,
    }


class Clock:
    def __init__(self) -> None:
        self.last = time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        """Seconds, and seconds of processor time, since the last lap."""
        now = time.perf_counter(), time.process_time()
        gone = now[0] - self.last[0], now[1] - self.last[1]
        self.last = now
        return gone


class Memory(threading.Thread):
    """The most memory, in bytes, that is the process's own and no file's; looked at twenty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.over = 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.wait(0.05):
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.most = max(self.most, int(status["RssAnon"].split()[0]) * 1024)

    def peak(self) -> int:
        self.over.set()
        self.join()
        return self.most


if __name__ == "__main__":
    main()
