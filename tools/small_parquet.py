"""RSICD's or Flickr8k's published files, as one Parquet file of small pictures that the benches read.

    python tools/small_parquet.py dataset_rsicd.json RSICD_images/ rsicd-64px.parquet
    python tools/small_parquet.py dataset_flickr8k.json Flicker8k_Dataset/ flickr8k-64px.parquet

The JSON is in Karpathy's form: {"images": [{"filename", "split", "sentences": [{"raw"}, ...]}, ...]}. Columns written:
image_path, image (JPEG, --side px square, the whole picture squeezed into it), captions, split, and class: RSICD names
it in the file, `airport_12.jpg`; "" where a name has none. Pictures are not published with this project: fetch them
from their authors (RSICD: Lu et al. 2017, arXiv 1712.07835; Flickr8k: Hodosh et al. 2013).
"""

from __future__ import annotations

import argparse
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

QUALITY = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=64)
    args = parser.parse_args()
    images = json.loads(args.annotations.read_text("utf-8"))["images"]
    rows = [row(about, args.pictures, args.side) for about in images]
    pq.write_table(pa.Table.from_pylist(rows), args.out)
    print(f"{len(rows)} pairs, {len({r['class'] for r in rows} - {''})} classes: {args.out}")


def row(about: dict[str, Any], folder: Path, side: int) -> dict[str, Any]:
    name = about["filename"]
    small = io.BytesIO()
    with Image.open(folder / name) as picture:
        picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(small, "JPEG", quality=QUALITY)
    found = re.fullmatch(r"([a-z]+)_\d+\.\w+", name)
    return {
        "image_path": f"images/{name}",
        "image": small.getvalue(),
        "captions": [sentence["raw"] for sentence in about["sentences"]],
        "split": about["split"],
        "class": found[1] if found else "",
    }


if __name__ == "__main__":
    main()
