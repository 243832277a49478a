"""CSV, TSV and Parquet: what is read by uid is what was written, at any size."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.config import DataConfig
from safeclip.data.pairs import BadPair, Source
from safeclip.data.read import Reader
from safeclip.data.sources import open_pairs, open_source
from safeclip.data.sources.delimited import Delimited
from safeclip.data.sources.row_groups import RowGroups
from safeclip.data.sources.tabular import TabularSource
from safeclip.errors import InputError

from .made import jpeg, pictures, write

RSICD = Path(__file__).parents[3] / "shared" / "data" / "rsicd-64px.parquet"
ROWS = "filepath,title,split,class\na.jpg,a cat,train,cat\nb.jpg,a dog,val,dog\nc.jpg,no class,train,\n"


def pairs(source: Source) -> list[tuple[bytes, tuple[str, ...]]]:
    return [(source[uid].image, source[uid].captions) for uid in range(len(source))]


def table(path: Path, count: int = 6, row_group_size: int = 2, **columns: list) -> Path:
    default = {
        "image": [jpeg(i) for i in range(count)],
        "captions": [[f"caption {i}", f"again {i}"] for i in range(count)],
    }
    pq.write_table(pa.table(default | columns), path, row_group_size=row_group_size)
    return path


def test_csv_gives_each_rows_picture_captions_and_label(tmp_path):
    images = pictures(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    write(tmp_path / "p.csv", ROWS)
    source = open_source(f"csv:{tmp_path}/p.csv", split="all")
    assert isinstance(source, Source)
    assert pairs(source) == list(zip(images, [("a cat",), ("a dog",), ("no class",)], strict=True))
    assert source.class_names == ("cat", "dog")
    assert [source.label(i) for i in range(3)] == [0, 1, -1]
    assert source.captions(1) == ("a dog",)


def test_split_column_is_honoured_and_classes_agree_between_splits(tmp_path):
    pictures(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    write(tmp_path / "p.csv", ROWS)
    train, val = (open_source(str(tmp_path / "p.csv"), split=s) for s in ("train", "val"))
    assert (len(train), len(val)) == (2, 1)
    assert train.class_names == val.class_names == ("cat", "dog")
    assert (train.label(0), val.label(0)) == (0, 1)
    assert train.fingerprint != val.fingerprint
    with pytest.raises(InputError, match=r"split = 'test'.*train, val, or all"):
        open_source(f"{tmp_path}/p.csv", split="test")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("head", ["Split,Class", "SPLIT, class ", "Class,Split,split,class"])
def test_split_and_class_columns_are_found_in_any_case_and_as_written_first(tmp_path, kind, head):
    names = head.split(",")
    values = {name: ["none", "none"] for name in names}
    values |= {names[0]: ["train", "test"], names[1]: ["cat", "dog"]} if len(names) == 2 else {}
    values |= {"split": ["train", "test"], "class": ["cat", "dog"]} if len(names) > 2 else {}
    columns = {"image": ["a.jpg", "b.jpg"], "caption": ["a cat", "a dog"], **values}
    if kind == "csv":
        write(tmp_path / "p.csv", "\n".join(map(",".join, [columns, *zip(*columns.values(), strict=True)])) + "\n")
    else:
        pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    source = open_source(f"{tmp_path}/p.{kind}", split="test")
    assert (len(source), source.captions(0)) == (1, ("a dog",))
    assert (source.class_names, source.label(0)) == (("cat", "dog"), 1)


def test_table_without_split_column_is_taken_whole(tmp_path):
    write(tmp_path / "p.tsv", "path\tcaption\na.jpg\tone\nb.jpg\ttwo\n")
    assert len(open_source(f"{tmp_path}/p.tsv", split="val")) == 2


def test_uids_outside_the_set_raise_index_error(tmp_path):
    write(tmp_path / "p.tsv", "path\tcaption\na.jpg\tone\n")
    source = open_source(f"{tmp_path}/p.tsv")
    for uid in (-1, 1):
        for call in (source.__getitem__, source.captions, source.label):
            with pytest.raises(IndexError):
                call(uid)


CELLS = st.text(alphabet='ab,"\n\té ', max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(",\t"), st.sampled_from(["\n", "\r\n"])
)
def test_quoted_line_ends_quotes_and_delimiters_read_as_the_csv_module_reads_them(
    tmp_path_factory, rows, delimiter, end
):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerows([("one", "two"), *rows])
    path = write(tmp_path_factory.mktemp("csv") / "p", b"\xef\xbb\xbf" + out.getvalue().encode())
    expected = list(csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=delimiter))[1:]
    read = Delimited([str(path)], delimiter.encode())
    assert [read.cells(i, ("one", "two")) for i in range(len(read))] == expected


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_closing_quote_may_end_the_file(tmp_path, ending):
    source = open_source(str(write(tmp_path / "p.tsv", f'image\tcaption\na.jpg\t"a ""cat"""{ending}')))
    assert source.captions(0) == ('a "cat"',)


@pytest.mark.parametrize("kind", ["csv", "tsv", "cc3m"])
def test_a_table_without_quotes_keeps_those_of_its_captions(tmp_path, kind):
    captions = ['"Unbalanced cat', "a dog", '"Tom" and me']
    between = "," if kind == "csv" else "\t"
    rows = ["title,filepath", *(f"{caption},a.jpg" for caption in captions)]
    write(tmp_path / "p", "\n".join(rows).replace(",", between) + "\n")
    source = open_pairs(DataConfig(spec=f"{kind}:{tmp_path}/p", quoted=False))
    assert [source.captions(i) for i in range(len(source))] == [(caption,) for caption in captions]


def test_ten_megabyte_captions_are_read_and_the_csv_modules_limit_stays(tmp_path):
    before = csv.field_size_limit()
    pictures(tmp_path, ["a.jpg", "b.jpg"])
    long = 'x"y\n' * 2_500_000
    quoted = '"' + long.replace('"', '""') + '"'
    write(tmp_path / "p.csv", f"image_path,caption\na.jpg,{quoted}\nb.jpg,short\n")
    source = open_source(f"{tmp_path}/p.csv")
    assert [source.captions(i) for i in range(2)] == [(long,), ("short",)]
    assert csv.field_size_limit() == before


def test_several_caption_columns_and_json_lists_are_several_captions(tmp_path):
    write(tmp_path / "p.csv", 'image,caption_0,caption_1\na.jpg,one,\nb.jpg," ","[""two"", ""three""]"\n')
    source = open_source(f"{tmp_path}/p.csv")
    assert [source.captions(i) for i in range(2)] == [("one",), ("two", "three")]


def test_parquet_of_bytes_and_lists_and_structs(tmp_path):
    table(tmp_path / "a.parquet", image_path=["x.jpg"] * 6)
    source = open_source(f"parquet:{tmp_path}/a.parquet")
    assert pairs(source) == [(jpeg(i), (f"caption {i}", f"again {i}")) for i in range(6)]
    pictures(tmp_path, ["x.jpg"])
    structs = [{"bytes": jpeg(4), "path": "none.jpg"}, {"bytes": None, "path": "x.jpg"}]
    sentences = [[{"raw": "one"}, {"raw": ""}], [{"raw": "two"}]]
    pq.write_table(pa.table({"image": structs, "sentences": sentences}), tmp_path / "b.parquet")
    source = open_source(f"{tmp_path}/b.parquet")
    assert pairs(source) == [(jpeg(4), ("one",)), (jpeg(0), ("two",))]


def test_parquet_folder_takes_splits_from_the_hubs_file_names(tmp_path):
    for name, count in (("train-00000-of-00002", 3), ("train-00001-of-00002", 2), ("test-00000-of-00001", 1)):
        table(tmp_path / f"{name}.parquet", count)
    assert [len(open_source(str(tmp_path), split=s)) for s in ("train", "test", "all")] == [5, 1, 6]


def test_a_column_of_missing_values_in_one_parquet_file_is_like_any(tmp_path):
    table(tmp_path / "a.parquet", 2, note=pa.nulls(2), split=["train", "train"], captions=pa.nulls(2))
    table(tmp_path / "b.parquet", 2, note=["a", "b"], split=pa.nulls(2), captions=["a cat", "a dog"])
    table(tmp_path / "c.parquet", 2, note=pa.nulls(2), split=["train", "train"], captions=[["x"], []])
    with pytest.raises(InputError, match=r"c\.parquet: its column 'captions' is not as in .*a\.parquet"):
        open_source(str(tmp_path))
    table(tmp_path / "c.parquet", 2, note=pa.nulls(2), split=["train", "train"], captions=[[], []])  # lists of null
    assert len(open_source(str(tmp_path))) == 4
    source = open_source(str(tmp_path), split="all")
    assert source.captions(3) == ("a dog",)
    with pytest.raises(BadPair, match="no caption"):
        source.captions(0)


def test_parquet_files_must_agree_in_the_columns_that_are_used_alone(tmp_path):
    table(tmp_path / "a.parquet", 1, note=[1])
    table(tmp_path / "b.parquet", 2, more=[b"x", b"y"], note=["x", "y"])
    assert open_source(str(tmp_path)).captions(2) == ("caption 1", "again 1")
    table(tmp_path / "c.parquet", 1, split=["test"])
    with pytest.raises(InputError, match=r"c\.parquet: its column 'split' is not as in .*a\.parquet"):
        open_source(str(tmp_path))


def test_parquet_views_of_text_and_bytes_are_text_and_bytes(tmp_path):
    values = {"image": ([jpeg(0)], pa.binary_view()), "caption": (["a cat"], pa.string_view())}
    values |= {"class": (["cat"], pa.string_view())}
    pq.write_table(pa.table({name: pa.array(*given) for name, given in values.items()}), tmp_path / "p.parquet")
    source = open_source(f"{tmp_path}/p.parquet")
    assert (pairs(source), source.class_names) == ([(jpeg(0), ("a cat",))], ("cat",))


def test_row_group_cache_stays_bounded_and_reads_in_any_order(tmp_path):
    path = table(tmp_path / "a.parquet", 40, row_group_size=4, captions=["c" * 1000 + str(i) for i in range(40)])
    rows = RowGroups([str(path)], cache_bytes=12_000)
    for row in [*range(39, -1, -1), *range(0, 40, 7)]:
        assert rows.cells(row, ("captions",)) == ["c" * 1000 + str(row)]
        assert rows.cached_bytes() <= 12_000
    assert len(rows._tables) < 10


def test_csv_holds_no_rows_only_where_they_lie(tmp_path):
    path = write(tmp_path / "p.csv", "image,caption\n" + "".join(f"{i}.jpg,{'words ' * 500}\n" for i in range(300)))
    source = open_source(str(path))
    assert len(pickle.dumps(source)) < path.stat().st_size / 20


def _read_in_a_worker(source: Source, uid: int) -> tuple[str, ...]:
    return source[uid].captions


def test_row_groups_open_their_files_anew_after_a_fork(tmp_path):
    rows = RowGroups([str(table(tmp_path / "a.parquet"))])
    rows.cells(0, ("captions",))
    opened = rows._opened[0]
    rows._pid = -1  # as a forked process finds it
    assert rows.cells(5, ("captions",)) == [["caption 5", "again 5"]]
    assert rows._opened[0] is not opened


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_read_from_forked_and_spawned_workers(tmp_path, kind):
    if kind == "csv":
        pictures(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
        source = open_source(str(write(tmp_path / "p.csv", ROWS)), split="all")
    else:
        source = open_source(str(table(tmp_path / "a.parquet")), split="all")
    expected = [source[i].captions for i in range(3)]
    copy = pickle.loads(pickle.dumps(source))
    assert [copy[i].captions for i in range(3)] == expected
    assert copy.fingerprint == source.fingerprint
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(_read_in_a_worker, [(source, i) for i in range(3)]) == expected


def test_column_settings_name_other_columns_and_errors_list_those_there_are(tmp_path):
    pictures(tmp_path / "img", ["a.jpg"])
    write(tmp_path / "p.csv", "where,what,kind\na.jpg,a cat,cat\n")
    named = {"image_column": "where", "caption_column": "what", "class_column": "kind"}
    source = open_source(f"{tmp_path}/p.csv?images={tmp_path}/img", **named)
    assert (source[0].captions, source.class_names) == (("a cat",), ("cat",))
    for setting in named:
        with pytest.raises(InputError, match=rf"{setting} = 'nope': no such column .*where, what, kind"):
            open_source(f"{tmp_path}/p.csv", **(named | {setting: "nope"}))
    with pytest.raises(InputError, match=r"no column of captions .*where, what, kind"):
        open_source(f"{tmp_path}/p.csv", image_column="where")
    with pytest.raises(InputError, match=r"no column of images .*where, what, kind"):
        open_source(f"{tmp_path}/p.csv", caption_column="what")


def test_captions_beyond_the_first_256_of_a_pair_are_left_out(tmp_path):
    pictures(tmp_path, ["0.jpg"])
    rows = [json.dumps([f"{i} {'a' * most}" for i in range(1000)]) for most in (1, 2000)]
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *(("0.jpg", row) for row in rows)])
    source = open_source(f"csv:{tmp_path}/pairs.csv")
    reader = Reader(source, DataConfig())
    assert reader.read(0)[1] == tuple(f"{i} a" for i in range(256))
    assert reader.read(1)[1] == (rows[1][:10_000],), "a list of two million characters is text"


def test_captions_behind_the_first_20_000_characters_of_a_pair_are_left_out(tmp_path):
    captions = ["a cat", "b" * 9000, " ", "c" * 9000, "d" * 3000, "a dog"]
    table(tmp_path / "a.parquet", 2, captions=[captions, ["e" * 3000] * 200])
    reader = Reader(open_source(f"{tmp_path}/a.parquet"), DataConfig())
    assert reader.read(0)[1] == ("a cat", "b" * 9000, "c" * 9000, "d" * 3000)
    assert reader.read(1)[1] == ("e" * 3000,) * 7


def test_blank_captions_are_dropped_and_none_left_is_a_bad_pair(tmp_path):
    table(tmp_path / "a.parquet", 3, captions=[["", "one", None], [" \t"], None])
    source = open_source(f"{tmp_path}/a.parquet")
    assert source.captions(0) == ("one",)
    for uid in (1, 2):
        with pytest.raises(BadPair, match="no caption"):
            source[uid]


@pytest.mark.skipif(not RSICD.exists(), reason=f"{RSICD} is not on this machine")
def test_rsicd_has_its_pairs_classes_and_five_captions():
    source = open_source(f"parquet:{RSICD}", split="train")
    assert isinstance(source, TabularSource)
    assert (len(source), len(source.class_names)) == (8734, 30)
    assert source[0].image[:2] == b"\xff\xd8"
    assert len(source[8733].captions) == 5
    assert (len(open_source(str(RSICD), split="val")), len(open_source(str(RSICD), split="all"))) == (1094, 10921)
