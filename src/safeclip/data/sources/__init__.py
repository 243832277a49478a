"""Data sets of pairs, by the data spec that names them.

    csv: tsv: parquet:   tables; a file, a glob or a folder of them
    wds:                 tar shards as img2dataset writes them; globs, {000..099} braces, a folder
    coco: vg: cc3m:      annotation files beside their pictures
    folder:              class folders
    torchvision:         published image sets as torchvision.datasets keeps them, torchvision:NAME:ROOT
    hf:                  Hugging Face datasets, on disk or by name (extra `hub`)
    emoji:               the built-in pictures

A path without `format:` tells its format by its ending. `PATH?images=DIR` names the folder of pictures, as
`image_root` does.
"""

from safeclip.data.sources.spec import (
    FORMATS,
    READ_BY,
    open_classed,
    open_pairs,
    open_source,
    said_with_format,
    without_folders,
)

__all__ = ["FORMATS", "READ_BY", "open_classed", "open_pairs", "open_source", "said_with_format", "without_folders"]
