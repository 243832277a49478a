"""Tar shards of generated JPEGs and captions for the benches: as large as web pictures, as costly to decode, all
different, the same from one seed everywhere."""

from __future__ import annotations

import io
import multiprocessing
import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

A_SHARD = 500
WORDS = (
    "a",
    "an",
    "the",
    "of",
    "on",
    "in",
    "with",
    "red",
    "blue",
    "small",
    "large",
    "dog",
    "cat",
    "street",
    "house",
    "tree",
)
QUALITY = 90
NOISE = 6.0
"""Grey levels; at quality 90 a picture of 500 x 375 px then has about 70 KB, as web photographs do."""


def make_shards(folder: Path, pairs: int, size: tuple[int, int], seed: int) -> str:
    """Write the shards on all cores; the data spec that opens them. size: width and height in px."""
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-pairs // A_SHARD)
    jobs = [(folder, i, min(A_SHARD, pairs - i * A_SHARD), size, seed) for i in range(count)]
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, count)) as pool:
        pool.starmap(_shard, jobs)
    return f"wds:{folder}/{{00000..{count - 1:05d}}}.tar"


def picture(size: tuple[int, int], random: np.random.Generator) -> bytes:
    """A JPEG of soft shapes with some noise."""
    coarse = random.integers(0, 256, (9, 12, 3), np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.float32)
    levels = np.clip(soft + NOISE * random.standard_normal(soft.shape, np.float32), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def caption(random: np.random.Generator) -> str:
    """10.3 words in the mean, deviation 4.5, as in CC3M (Sharma et al. 2018)."""
    return " ".join(random.choice(WORDS, max(1, round(random.lognormal(2.245, 0.418)))))


def _shard(folder: Path, number: int, pairs: int, size: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng([seed, number])
    with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
        for i in range(pairs):
            key = f"{number:05d}{i:05d}"
            for name, body in ((f"{key}.jpg", picture(size, random)), (f"{key}.txt", caption(random).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
