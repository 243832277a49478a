"""Storage at web scale: how long a catalog takes to open, and whether memory stays flat.

    python bench/storage.py                      -> bench/results/storage.json
    python bench/storage.py --pairs 100000 --epochs 3 --into FILE

    catalog   tar shards of 10 million pairs, as indices beside empty files of the right size: opened anew in a process
              of its own, and an epoch planned in shard order
    memory    1 million tiny pairs (an 8 px picture and a caption) in tar shards, read through the training's loader by
              worker processes, epoch after epoch: resident memory of each worker when an epoch's last batch is in

Memory is flat where no worker holds more than 10 % more at the end of the last epoch than at the end of the first.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from safeclip.config import DataConfig, ViewsConfig
from safeclip.data.loader import CLEAN, Loader
from safeclip.data.plan import plan
from safeclip.data.read import Reader
from safeclip.data.shard_order import in_shard_order
from safeclip.data.sources import open_pairs
from safeclip.data.sources.labelled import Codes
from safeclip.data.sources.paths import stamp
from safeclip.data.sources.tar_index import TarIndex, keep_index, tar_index
from safeclip.run import machine, write_json

RESULTS = Path(__file__).parent / "results"
PER_SHARD, PLACE, BATCH, SIZE, WINDOW = 10_000, 60_000, 1_000, 8, 8
FLAT = 1.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--catalog", type=int, default=10_000_000, help="pairs of the catalog that is opened")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="where the generated shards go meanwhile; needs 2 KB a pair")
    parser.add_argument("--into", type=Path, default=RESULTS / "storage.json")
    parser.add_argument("--open", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.open:
        print(json.dumps(opened(args.open)))
        return
    record: dict[str, Any] = {"machine": machine(), "seed": 0, "flat": FLAT, "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        make_catalog(Path(folder), args.catalog)
        command = [sys.executable, __file__, "--open", folder]
        record["catalog"] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    about = record["catalog"]
    print(
        f"{about['pairs']:,} pairs in {about['shards']:,} shards opened in {about['open_seconds']:.1f} s, "
        f"{about['peak_bytes'] / 1e9:.2f} GB; an epoch planned in {about['plan_seconds']:.1f} s"
    )
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        record["memory"] = read_epochs(Path(folder), args.pairs, args.epochs, args.workers)
    write_json(args.into, record)


def make_catalog(folder: Path, pairs: int) -> None:
    """Empty files of the size of their shards, and the indices that a first reading would have kept beside them."""
    for number in range(-(-pairs // PER_SHARD)):
        count = min(PER_SHARD, pairs - number * PER_SHARD)
        shard = folder / f"{number:05d}.tar"
        with shard.open("wb") as file:
            file.truncate(count * PLACE + 1024)
        start = np.arange(count, dtype=np.int64) * PLACE
        offsets = np.stack([start + 512, start + PLACE - 512, np.full(count, -1)], axis=1)
        sizes = np.tile(np.array([PLACE - 2048, 100, 0], np.int64), (count, 1))
        codes = Codes()
        codes.add("", count)
        keep_index(str(shard), stamp(str(shard)), TarIndex(offsets, sizes, codes))


def opened(folder: str) -> dict[str, Any]:
    start = time.perf_counter(), time.process_time()
    source = open_pairs(DataConfig(spec=f"wds:{folder}"))
    done = time.perf_counter(), time.process_time()
    peak, held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, resident(os.getpid())
    safe = np.random.default_rng(0).random(len(source)) < 0.6
    planning = time.perf_counter()
    batches = plan(0, 1, {"unimodal": np.flatnonzero(~safe), "clip": np.flatnonzero(safe)}, 4096)
    batches = in_shard_order(batches, source.ends_S, 16, 0, 1)
    return {
        "pairs": len(source),
        "shards": len(source.ends_S),
        "open_seconds": done[0] - start[0],
        "open_cpu_seconds": done[1] - start[1],
        "peak_bytes": peak,
        "resident_bytes": held,
        "plan_seconds": time.perf_counter() - planning,
        "batches": len(batches),
    }


def read_epochs(folder: Path, pairs: int, epochs: int, workers: int) -> dict[str, Any]:
    first = make_shard(folder / "00000.tar", min(PER_SHARD, pairs))
    tar_index(str(first))
    for number in range(1, pairs // PER_SHARD):  # the same pairs under other uids
        shard = folder / f"{number:05d}.tar"
        shutil.copyfile(first, shard)
        keep_index(str(shard), stamp(str(shard)), tar_index(str(first)))
    config = DataConfig(spec=f"wds:{folder}", workers=workers, cache_mib=0, shard_window=WINDOW)
    source = open_pairs(config)
    loader = Loader(Reader(source, config), ViewsConfig(), SIZE, tokens, {"clip": CLEAN}, seed=0)
    found = []
    for epoch in range(1, epochs + 1):
        start, read, seen = time.perf_counter(), 0, {}
        batches = loader.ordered(epoch, plan(0, epoch, {"clip": np.arange(len(source))}, BATCH))
        for i, inputs in enumerate(loader.batches(epoch, batches)):
            read += len(inputs.uids)
            if i % 20 == 0 or i >= len(batches) - workers:
                seen |= {child.name: resident(child.pid) for child in multiprocessing.active_children()}
        found.append(
            {
                "epoch": epoch,
                "pairs": read,
                "seconds": time.perf_counter() - start,
                "workers_bytes": [seen[name] for name in sorted(seen)],
                "main_bytes": resident(os.getpid()),
            }
        )
        print(f"epoch {epoch}: {json.dumps(found[-1])}", flush=True)
    growth = max(b / a for a, b in zip(found[0]["workers_bytes"], found[-1]["workers_bytes"], strict=True))
    print(f"the workers' memory from the first epoch's end to the last's: x {growth:.3f}, flat below {FLAT}")
    return {"pairs": len(source), "epochs": found, "growth": growth, "holds": growth <= FLAT}


def make_shard(path: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for i in range(count):
            picture = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(picture, "PNG")
            for ending, data in (("png", picture.getvalue()), ("txt", f"picture {i} of noise".encode())):
                about = tarfile.TarInfo(f"{i:09d}.{ending}")
                about.size = len(data)
                archive.addfile(about, io.BytesIO(data))
    return path


def tokens(captions: Sequence[str]) -> torch.Tensor:
    """A stand-in: what a tokenizer costs is not asked here."""
    return torch.tensor([[len(caption)] for caption in captions])


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
