"""Tiny data sets in their true formats, for the tests of the sources."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def jpeg(number: int, kind: str = "JPEG") -> bytes:
    """An 8x8 picture whose colour tells its number."""
    out = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), (number * 37) % 256, np.uint8)).save(out, kind)
    return out.getvalue()


def pictures(folder: Path, names: list[str]) -> list[bytes]:
    """The i-th name holds jpeg(i)."""
    found = []
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        found.append(jpeg(i))
        (folder / name).write_bytes(found[-1])
    return found


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def write_json(path: Path, value: object) -> Path:
    return write(path, json.dumps(value))


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """A shard as webdataset's TarWriter (and so img2dataset) writes it: plain ustar members in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(data), 0o444
            archive.addfile(about, io.BytesIO(data))
    return path


def img2dataset_shard(path: Path, first: int, count: int) -> Path:
    """Keys of 9 digits, each with .jpg, .json and .txt, as img2dataset's webdataset writer lays them down."""
    members = []
    for i in range(first, first + count):
        key = f"{i:09d}"
        about = {
            "caption": f"caption {i}",
            "url": f"http://x/{i}.jpg",
            "key": key,
            "status": "success",
            "width": 8,
            "height": 8,
        }
        members += [
            (f"{key}.jpg", jpeg(i)),
            (f"{key}.json", json.dumps(about).encode()),
            (f"{key}.txt", f"caption {i}".encode()),
        ]
    return write_tar(path, members)
