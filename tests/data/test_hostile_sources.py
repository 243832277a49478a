"""Input nobody checked: paths out of the folder, broken files, wrong names. One line for the file, one bad pair for
the row.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeclip.data.pairs import BadPair
from safeclip.data.sources import FORMATS, open_source, row_groups
from safeclip.errors import InputError

from .made import img2dataset_shard, jpeg, pictures, write, write_json


@pytest.fixture
def walled(tmp_path):
    """A secret beside the data folder, and the folder."""
    write(tmp_path / "secret.jpg", jpeg(0))
    inside = tmp_path / "data"
    pictures(inside, ["ok.jpg", "sub/ok.jpg"])
    os.symlink(tmp_path / "secret.jpg", inside / "link.jpg")
    os.symlink(tmp_path, inside / "up")
    os.symlink(inside / "ok.jpg", inside / "fine.jpg")
    os.mkfifo(inside / "pipe.jpg")
    return inside


OUTSIDE = ["../secret.jpg", "sub/../../secret.jpg", "/etc/passwd", "link.jpg", "up/secret.jpg", "up/data/../secret.jpg"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_csv_paths_out_of_the_folder_are_bad_pairs(walled, path):
    source = open_source(str(write(walled / "p.csv", f"image,caption\n{path},x\n")))
    with pytest.raises(BadPair, match="leads outside"):
        source[0]


@pytest.mark.parametrize("path", OUTSIDE)
def test_coco_and_parquet_paths_out_of_the_folder_are_bad_pairs(walled, path):
    images = [{"id": 0, "file_name": "ok.jpg"}, {"id": 1, "file_name": path}]
    about = {"images": images, "annotations": [{"image_id": i, "caption": "x"} for i in range(2)]}
    coco = open_source(f"coco:{write_json(walled / 'captions_x.json', about)}")
    pq.write_table(pa.table({"image": [{"bytes": None, "path": path}] * 2, "text": ["x"] * 2}), walled / "p.parquet")
    for source in (coco, open_source(f"{walled}/p.parquet")):
        with pytest.raises(BadPair, match="leads outside"):
            source[1]


@pytest.mark.parametrize("path", ["ok.jpg", "sub/ok.jpg", "./sub/../ok.jpg", "fine.jpg", "{}/ok.jpg"])
def test_paths_and_links_that_stay_inside_are_read(walled, path):
    source = open_source(str(write(walled / "p.csv", f"image,caption\n{path.format(walled)},x\n")))
    assert source[0].image[:2] == b"\xff\xd8"


def test_image_root_is_where_paths_start_and_end(walled):
    path = write(walled / "p.csv", f"image,caption\n{walled}/sub/ok.jpg,x\nok.jpg,x\n../ok.jpg,x\n{walled}/ok.jpg,x\n")
    source = open_source(str(path), image_root=f"{walled}/sub")
    assert source[0].image == source[1].image == jpeg(1)
    for uid in (2, 3):
        with pytest.raises(BadPair, match="leads outside"):
            source[uid]
    assert open_source(str(path), image_root="/")[3].image == jpeg(0)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none.jpg", "no such file"),
        ("pipe.jpg", "not a file"),
        ("sub", "not a file"),
        ("", "no image"),
        ("a\0b.jpg", "null"),
        ("x" * 5000, "name too long"),
        ("http://x/a.jpg", "is a URL"),
    ],
)
def test_files_that_cannot_be_read_are_bad_pairs_with_a_reason(walled, path, reason):
    source = open_source(str(write(walled / "p.csv", f"image,caption\n{path},x\n")))
    with pytest.raises(BadPair, match=rf"(?i){reason}") as caught:
        source[0]
    assert len(str(caught.value)) < 400


def test_links_out_of_a_class_folder_are_bad_pairs(tmp_path):
    write(tmp_path / "secret.jpg", jpeg(0))
    pictures(tmp_path / "data", ["cat/a.jpg"])
    os.symlink(tmp_path / "secret.jpg", tmp_path / "data" / "cat" / "b.jpg")
    source = open_source(f"folder:{tmp_path}/data")
    assert source[0].image == jpeg(0)
    with pytest.raises(BadPair, match="leads outside"):
        source[1]


def test_ragged_and_undecodable_rows_are_bad_pairs_of_every_split(tmp_path):
    pictures(tmp_path, ["a.jpg"])
    write(tmp_path / "p.csv", b"image,caption,split\na.jpg,x,train\na.jpg,x\na.jpg,x,y,train\na.jpg,\xff,train\n\n")
    source = open_source(f"{tmp_path}/p.csv")
    assert len(source) == 4
    for uid, reason in ((1, "row has 2 cells"), (2, "row has 4 cells"), (3, "not UTF-8")):
        with pytest.raises(BadPair, match=reason):
            source[uid]


def test_half_a_character_in_a_list_of_captions_is_replaced(tmp_path):
    """Nothing that is written to Parquet takes it."""
    pictures(tmp_path, ["a.jpg"])
    write(tmp_path / "p.csv", 'image,caption\na.jpg,"[""\\ud800 a dog"", ""a \\ud83d\\ude00 cat""]"\n')
    assert open_source(f"{tmp_path}/p.csv").captions(0) == ("? a dog", "a \U0001f600 cat")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.csv", b"", "is empty"),
        ("p.csv", b"image,caption\n", "holds no row"),
        ("p.csv", b"image,caption,caption\na,b,c\n", "occurs twice"),
        ("p.csv", b'image,caption\na.jpg,"never closed\nb.jpg,x\n', "row 1 is never closed.*data.quoted = false"),
        ("p.tsv", b'image\tcaption\na\tx\nb\t"Loose cat\nc\ty\nd\t"Tom" and me\n', "row 2: text follows.*data.quoted"),
        ("p.csv", b'image,caption\na.jpg,"a cat" \n', "row 1: text follows"),
        ("p.csv", b'"image"s,caption\na.jpg,a cat\n', "row 0: text follows"),
        ("p.csv", "image,caption\na,b\n".encode("utf-16"), "UTF-16"),
        ("p.csv", b"image,url\na,b\n", "no column of captions"),
        ("p.csv", b"url,caption\na,b\n", "img2dataset"),
        ("p.parquet", b"", "is empty"),
        ("p.parquet", b"PAR1 nonsense", "not a Parquet file"),
    ],
)
def test_broken_tables_are_one_line(tmp_path, name, content, says):
    with pytest.raises(InputError, match=says) as caught:
        open_source(str(write(tmp_path / name, content)))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_parquet_column_that_occurs_twice_is_told(tmp_path):
    values = [pa.array(["a.jpg"]), pa.array(["x"]), pa.array(["y"])]
    pq.write_table(pa.Table.from_arrays(values, ["image", "caption", "caption"]), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p\.parquet: column 'caption' occurs twice; rename one"):
        open_source(str(tmp_path / "p.parquet"))


def test_truncated_row_group_is_a_bad_pair_and_a_truncated_file_an_error(tmp_path):
    path = tmp_path / "p.parquet"
    pq.write_table(
        pa.table({"image": [os.urandom(4000)] * 1 + [os.urandom(4000)], "text": ["a", "b"]}),
        path,
        row_group_size=1,
        use_dictionary=False,
    )
    source = open_source(str(path))
    data = bytearray(path.read_bytes())
    data[4:40] = b"\xff" * 36
    path.write_bytes(data)
    with pytest.raises(BadPair, match="row group 0"):
        source[0]
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="not a Parquet file"):
        open_source(str(path))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nope:x", "unknown format 'nope'; give one of " + ", ".join(FORMATS)),
        ("{}/none.csv", "no such file"),
        ("csv:{}/none.csv", "no such file"),
        ("parquet:{}/*.parquet", "no such file"),
        ("wds:{}", "no .tar file in this folder"),
        ("{}/none", "no such file"),
        ("folder:{}/none", "no such folder"),
        ("folder:{}", "no picture in folders"),
        ("coco:{}/none.json", "no such file"),
        ("vg:{}", "is a folder"),
        ("csv:", "names no path"),
        ("{}/p.xyz", "cannot tell its format"),
        ("csv:{}/p.xyz?images={}/none", "no such folder"),
    ],
)
def test_what_is_not_there_is_one_line_with_the_mend(tmp_path, spec, says):
    write(tmp_path / "p.xyz", "x")
    with pytest.raises(InputError) as caught:
        open_source(spec.replace("{}", str(tmp_path)))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_large_value_of_many_rows_is_not_held_that_often(tmp_path, monkeypatch):
    """Encoded as a dictionary it takes a few hundred bytes of the file."""
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 2**22)
    value = pa.array([bytes(2**20)])
    image = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), value).cast(pa.binary())
    pq.write_table(pa.table({"image": image, "caption": ["x"] * 100}), tmp_path / "0.parquet", compression="zstd")
    assert (tmp_path / "0.parquet").stat().st_size < 2**16
    source = open_source(f"parquet:{tmp_path / '0.parquet'}")
    with pytest.raises(BadPair, match="takes more than 4,194,304 bytes of memory"):
        source[3]


def test_rows_and_names_that_python_has_no_value_for_are_told(tmp_path):
    field = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string()), pa.field("path", pa.string())])
    twice = [pa.array([jpeg(0)]), pa.array(["a"]), pa.array(["b"])]
    image = pa.StructArray.from_arrays(twice, fields=[field.field(i) for i in range(3)])
    pq.write_table(pa.table({"image": image, "caption": ["x"]}), tmp_path / "0.parquet")
    with pytest.raises(BadPair, match="row cannot be read"):
        open_source(f"parquet:{tmp_path / '0.parquet'}")[0]
    table = pa.table({"image": [jpeg(0)], "caption": ["x"], "QQQQ": [1]})
    pq.write_table(table, tmp_path / "1.parquet", store_schema=False)
    write(tmp_path / "1.parquet", (tmp_path / "1.parquet").read_bytes().replace(b"QQQQ", b"\xff\xfe\xff\xff"))
    with pytest.raises(InputError, match=r"1\.parquet: not a Parquet file, or a damaged one"):
        open_source(f"parquet:{tmp_path / '1.parquet'}")


def test_names_that_are_not_utf8_are_read_all_the_same(tmp_path):
    folder = os.fsencode(tmp_path / "set") + b"/caf\xe9"
    os.makedirs(folder)
    with open(folder + b"/0.jpg", "wb") as file:
        file.write(jpeg(7))
    source = open_source(f"folder:{tmp_path / 'set'}")
    assert source[0].image == jpeg(7)
    assert source[0].captions == ("a photo of a caf?",)
    img2dataset_shard(Path(os.fsdecode(folder)) / "0.tar", 0, 2)
    assert len(open_source(os.fsdecode(folder + b"/0.tar"))) == 2


def test_a_column_of_many_splits_is_not_told_in_full(tmp_path):
    write(tmp_path / "0.csv", "image,caption,split\n" + "".join(f"{i}.jpg,x,part {i:05d}\n" for i in range(5000)))
    with pytest.raises(InputError, match=r"part 00019 and 4,980 more, or all$"):
        open_source(f"csv:{tmp_path / '0.csv'}")
