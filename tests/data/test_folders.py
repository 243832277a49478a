"""Folders of files and of class folders: all that is there is read or told, and nothing is read twice."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeclip.config import DataConfig
from safeclip.data.pairs import BadPair, NoSuchSplit
from safeclip.data.read import Reader
from safeclip.data.sources import open_source
from safeclip.errors import InputError

from .made import jpeg, pictures


def parts(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": [jpeg(number)], "caption": [name]}), folder / name)
    return folder


def test_a_folder_of_split_folders_gives_the_splits_rows(tmp_path):
    folder = parts(tmp_path / "set", ["test/0.parquet", "train/0.parquet", "train/1.parquet"])
    found = {split: open_source(f"parquet:{folder}", split=split) for split in ("train", "test", "all")}
    assert {split: [source[i].captions[0] for i in range(len(source))] for split, source in found.items()} == {
        "train": ["train/0.parquet", "train/1.parquet"],
        "test": ["test/0.parquet"],
        "all": ["test/0.parquet", "train/0.parquet", "train/1.parquet"],
    }
    with pytest.raises(NoSuchSplit, match="there are test, train, or all"):
        open_source(f"parquet:{folder}", split="val")


def test_a_folders_hidden_copies_are_not_its_files_and_what_cannot_be_reached_is_told(tmp_path):
    folder = parts(tmp_path / "set", ["0.parquet", ".ipynb_checkpoints/0-checkpoint.parquet", ".0.parquet"])
    elsewhere = parts(tmp_path / "elsewhere", ["1.parquet"])
    (folder / "other disk").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)  # not in circles
    assert len(open_source(f"parquet:{folder}")) == 2
    (folder / "2.parquet").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"2\.parquet: no such file, or a link to none"):
        open_source(f"parquet:{folder}")


def test_pictures_of_kinds_that_are_not_read_are_bad_pairs_and_those_beside_the_classes_are_counted(tmp_path):
    for name in ("cat/1.jpg", "cat/2.tif", "cat/3.AVIF", "cat/notes.txt", "dog/1.png", "4.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg(1) if name.endswith(("jpg", "png")) else b"II*\0" + bytes(60))
    source = open_source(f"folder:{tmp_path}")
    assert (len(source), source.beside_classes) == (4, 1)
    reader = Reader(source, DataConfig())
    reasons = [why for uid in range(4) if (why := reason_of(reader, uid))]
    assert reasons == ["image: not a JPEG, PNG, WebP, GIF or BMP file"] * 2


def reason_of(reader, uid):
    try:
        reader.read(uid)
    except BadPair as why:
        return str(why)


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    folder = parts(tmp_path / "set", ["a/0.parquet", "b/1.parquet"])
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    for spec in (f"parquet:{folder}", f"folder:{folder}", f"wds:{folder}", f"folder:{folder / 'b'}", str(folder / "b")):
        with pytest.raises(InputError, match=r"b: cannot be read \(Permission denied\); check its permissions"):
            open_source(spec)


def test_a_class_may_be_called_train_and_splits_beside_classes_are_told(tmp_path):
    pictures(tmp_path, ["set/cat/0.jpg", "set/dog/1.jpg", "set/train/2.jpg"])
    assert open_source(f"folder:{tmp_path / 'set'}").class_names == ("cat", "dog", "train")
    pictures(tmp_path, ["set/train/steam/3.jpg"])
    with pytest.raises(InputError, match=r"splits with classes \(train\) beside classes \(cat, dog\)"):
        open_source(f"folder:{tmp_path / 'set'}")
