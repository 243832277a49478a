"""The benches' photographs, made from their published form."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safeclip.data.decode import decode
from safeclip.data.sources import open_source

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "small_parquet.py"))


def test_it_makes_what_the_benches_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"airport_1.jpg": "train", "pond_12.jpg": "test", "00042.jpg": "train", "1003_4432f.jpg": "val"}
    annotations = []
    for shade, (name, split) in enumerate(names.items()):
        Image.new("RGB", (100, 60), (60 * shade, 0, 0)).save(tmp_path / name)
        sentences = [{"raw": f"caption {i} of {name}", "tokens": []} for i in range(5)]
        annotations.append({"filename": name, "split": split, "sentences": sentences, "imgid": shade})
    (tmp_path / "set.json").write_text(json.dumps({"images": annotations, "dataset": "rsicd"}))
    out = tmp_path / "small.parquet"
    monkeypatch.setattr("sys.argv", ["", str(tmp_path / "set.json"), str(tmp_path), str(out)])
    TOOL["main"]()
    train, test = (open_source(f"parquet:{out}", split=split) for split in ("train", "test"))
    assert [len(train), len(test)] == [2, 1]
    assert train.class_names == test.class_names == ("airport", "pond")
    assert [train.label(0), train.label(1), test.label(0)] == [0, -1, 1]
    assert train.captions(0) == tuple(f"caption {i} of airport_1.jpg" for i in range(5))
    picture = decode(test[0].image, max_pixels=10_000)
    assert picture.shape == (64, 64, 3)
    assert np.allclose(picture.mean((0, 1)), (60, 0, 0), atol=3)
