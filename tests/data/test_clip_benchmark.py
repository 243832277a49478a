"""Tar shards in CLIP-Benchmark's form: numbered classes, their names and prompts beside the shards."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair, NoSuchSplit
from safeclip.data.sources import open_source
from safeclip.data.sources.tar_index import JSON, NONE
from safeclip.errors import InputError
from tests.data.made import img2dataset_shard, jpeg, write, write_tar
from tests.data.tiny_sets import clip_benchmark


def test_labels_have_the_names_of_their_lines_and_the_prompts_come_along(tmp_path: Path) -> None:
    source = open_source(f"wds:{clip_benchmark(tmp_path)}", split="train")
    assert len(source) == 6
    assert source.class_names == ("Gila monster", "ant lion", "zebra")
    names = [source.class_names[source.label(uid)] for uid in range(6)]
    assert names == ["zebra", "Gila monster", "ant lion"] * 2
    assert source.captions(1) == source[1].captions == ("a photo of a Gila monster",)
    assert source.templates == ("a photo of a {}.", "the {}, {drawn}.")
    assert source.captions_from_classes
    for uid, shade in ((0, 0), (5, 185)):
        assert abs(int(decode(source[uid].image, max_pixels=64)[0, 0, 0]) - shade) < 9, "jpg, webp and png alike"


def test_splits_are_folders_and_share_their_classes(tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path)
    assert len(open_source(f"wds:{root}", split="test")) == 3
    assert len(open_source(f"wds:{root}", split="all")) == 9
    write_tar(root / "test/0.tar", [("a.jpg", jpeg(1)), ("a.cls", b"2")])
    assert open_source(f"wds:{root}", split="test").class_names == ("Gila monster", "ant lion", "zebra")
    with pytest.raises(NoSuchSplit, match="split = 'val': no such split"):
        open_source(f"wds:{root}", split="val")


def test_shards_named_one_by_one_find_the_names_above_them(tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path)
    assert open_source(f"wds:{root}/test/0.tar").class_names == ("Gila monster", "ant lion", "zebra")
    assert len(open_source(f"{root}/train/{{0..1}}.tar")) == 6


def test_equal_names_are_one_class(tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path)
    write(root / "classnames.txt", "missile\ncrane\nmissile\n")
    source = open_source(f"wds:{root}", split="test")
    assert source.class_names == ("crane", "missile")
    assert [source.label(uid) for uid in range(3)] == [1, 0, 1]


def test_a_label_may_be_a_listed_name_and_a_picture_without_one_is_a_bad_pair(tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path)
    write_tar(root / "test/0.tar", [("a.jpg", jpeg(1)), ("a.cls", b"zebra\n"), ("b.jpg", jpeg(2))])
    source = open_source(f"wds:{root}", split="test")
    assert source.class_names[source.label(0)] == "zebra"
    assert source.label(1) == -1
    with pytest.raises(BadPair, match="no caption"):
        source[1]


@pytest.mark.parametrize("label", [b"3", b"-1", b"9" * 60, b"1.0", "\u00b2".encode(), b"lion"])
def test_a_label_without_a_name_is_one_line_of_bad_input(label: bytes, tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path)
    write_tar(root / "test/0.tar", [("a.jpg", jpeg(1)), ("a.cls", label)])
    with pytest.raises(InputError, match=r"classnames\.txt: a \.cls says .*here are the classes 0 to 2") as error:
        open_source(f"wds:{root}", split="test")
    assert "\n" not in str(error.value)


def test_a_missing_shard_is_missed(tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path)
    (root / "train/1.tar").unlink()
    with pytest.raises(InputError, match=r"train: has 1 shards, and nshards\.txt says 2; fetch the others"):
        open_source(f"wds:{root}", split="train")
    assert len(open_source(f"wds:{root}", split="test")) == 3


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("classnames.txt", "zebra\n\nant\n", "line 2 is empty"),
        ("zeroshot_classification_templates.txt", "a photo\n", "the prompt 'a photo' has no {c} for the class"),
        ("classnames.txt", b"\xff\xfe", "cannot be read (UnicodeDecodeError)"),
    ],
)
def test_damaged_names_and_prompts_are_refused(file: str, text: str | bytes, said: str, tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path)
    write(root / file, text)
    with pytest.raises(InputError) as error:
        open_source(f"wds:{root}", split="test")
    assert said in str(error.value)
    assert file in str(error.value)


def test_sets_for_retrieval_have_a_caption_a_line(tmp_path: Path) -> None:
    root = clip_benchmark(tmp_path, retrieval=True)
    source = open_source(f"wds:{root}", split="test")
    assert source[0].captions == ("one 6", "two 6")
    assert not source.captions_from_classes
    assert source.class_names == ("Gila monster", "ant lion", "zebra")


def test_shards_with_captions_of_their_own_keep_them(tmp_path: Path) -> None:
    write(tmp_path / "classnames.txt", "zebra\n")
    img2dataset_shard(tmp_path / "0.tar", 0, 2)
    source = open_source(f"wds:{tmp_path}")
    assert source[1].captions == ("caption 1",)
    assert source.label(0) == -1


def test_whether_there_are_captions_is_asked_without_a_copy_of_the_catalog(tmp_path: Path) -> None:
    source = open_source(f"wds:{clip_benchmark(tmp_path)}")
    source._offset_N3 = np.full((1_000_000, 3), NONE)
    tracemalloc.start()
    assert not source._has_captions()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2e6, "a byte a pair"
    source._offset_N3[-1, JSON] = 0
    assert source._has_captions()
