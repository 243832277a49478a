"""Tar shards in WebDataset form: read by uid through their index, never unpacked."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeclip.data.pairs import BadPair, Source
from safeclip.data.sources import open_source, tar_index
from safeclip.errors import InputError

from .made import img2dataset_shard, jpeg, write, write_tar


def shards(folder) -> str:
    for number in range(3):
        img2dataset_shard(folder / f"{number:05d}.tar", number * 10, 2 + number)
    return str(folder)


EXPECTED = [0, 1, 10, 11, 12, 20, 21, 22, 23]


@pytest.mark.parametrize("spec", ["{}", "wds:{}", "wds:{}/*.tar", "{}/{{00000..00002}}.tar"])
def test_shards_of_a_folder_glob_or_braces_are_one_set_in_order(tmp_path, spec):
    source = open_source(spec.format(shards(tmp_path)))
    assert isinstance(source, Source)
    assert [source[i].captions for i in range(len(source))] == [(f"caption {n}",) for n in EXPECTED]
    assert [source[i].image for i in range(len(source))] == [jpeg(n) for n in EXPECTED]
    assert source.captions(3) == ("caption 11",)


def test_tables_and_counts_that_img2dataset_lays_beside_its_shards_are_not_the_data(tmp_path):
    for number in range(3):
        pq.write_table(pa.table({"url": ["http://x/1.jpg"], "status": ["success"]}), tmp_path / f"{number:05d}.parquet")
        write(tmp_path / f"{number:05d}_stats.json", "{}")
    assert len(open_source(shards(tmp_path))) == len(EXPECTED)


def test_index_is_kept_beside_the_shard_without_pickle_and_used_again(tmp_path, monkeypatch):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 2)
    open_source(str(path))
    with np.load(f"{path}.index.npz", allow_pickle=False) as kept:
        assert kept["offsets"].shape == (2, 3)
    monkeypatch.setattr(tar_index, "scan", lambda *_: pytest.fail("the shard was scanned again"))
    assert open_source(str(path))[1].captions == ("caption 1",)


def test_index_of_a_changed_shard_is_made_anew(tmp_path):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 2)
    open_source(str(path))
    img2dataset_shard(path, 50, 2)
    os.utime(path, ns=(1, 1))
    assert open_source(str(path))[0].captions == ("caption 50",)
    img2dataset_shard(path, 70, 30)
    assert len(open_source(str(path))) == 30


@pytest.mark.parametrize("damage", [b"", b"PK nonsense", b"\x93NUMPY"])
def test_damaged_index_is_made_anew(tmp_path, damage):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 2)
    write(tmp_path / "0.tar.index.npz", damage)
    assert open_source(str(path))[1].captions == ("caption 1",)


def npy(values: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """The array as numpy writes it, claiming to be of another shape."""
    out = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(values) | ({} if shape is None else {"shape": shape})
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + values.tobytes()


ZEROS = np.zeros(8 << 20, np.int64)
FORGED = {
    "claims 10^13 entries": {"offsets.npy": npy(ZEROS[:6], (10**13, 3))},
    "claims fewer than none": {"sizes.npy": npy(ZEROS[:6], (-1, 3))},
    "sizes blown up": {"sizes.npy": npy(ZEROS)},
    "mark blown up": {"mark.npy": npy(ZEROS)},
    "codes blown up": {"codes.npy": npy(ZEROS)},
    "names blown up": {"names.npy": npy(ZEROS)},
    "more names than pairs": {"names.npy": npy(np.zeros(4_000, np.uint8))},
    "beyond the shard": {"offsets.npy": npy(np.full((2, 3), 2**63 - 1))},
    "pickled": {"codes.npy": npy(np.zeros(2, np.int32)).replace(b"'<i4'", b"'|O' ")},
    "no array": {"codes.npy": b"none"},
    "an array missing": {"codes.npy": None},
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_index_is_made_anew_and_not_blown_up(tmp_path, what):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 2)
    open_source(str(path))
    place = tmp_path / "0.tar.index.npz"
    with zipfile.ZipFile(place) as kept:
        parts = {name: kept.read(name) for name in kept.namelist()} | FORGED[what]
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as forged:
        for name, data in parts.items():
            if data is not None:
                forged.writestr(name, data)
    before = place.read_bytes()
    tracemalloc.start()
    assert open_source(str(path))[1].captions == ("caption 1",)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert place.read_bytes() != before


def test_an_array_or_a_broken_zip_in_the_place_of_an_index_is_none(tmp_path):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 2)
    open_source(str(path))
    place = tmp_path / "0.tar.index.npz"
    whole = np.load(place)
    np.savez_compressed(place, **whole)
    content = bytearray(place.read_bytes())
    content[80:90] = b"\xff" * 10
    for damage in (npy(ZEROS[:6], (10**13,)), npy(ZEROS[:6]), bytes(content)):
        place.write_bytes(damage)
        assert open_source(str(path))[1].captions == ("caption 1",)


def test_index_goes_to_the_cache_where_the_folder_cannot_be_written(tmp_path, monkeypatch):
    path = img2dataset_shard(tmp_path / "data" / "0.tar", 0, 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real = tar_index._save

    def refused(place, *rest):
        if place.parent == path.parent:
            raise PermissionError(13, "read-only")
        real(place, *rest)

    monkeypatch.setattr(tar_index, "_save", refused)
    assert len(open_source(str(path))) == 2
    assert len(list((tmp_path / "cache").rglob("*.index.npz"))) == 1
    assert [p.name for p in path.parent.iterdir()] == ["0.tar"]


def test_captions_come_from_txt_then_json_and_a_json_key_can_be_named(tmp_path):
    members = [
        ("a.png", jpeg(0, "PNG")), ("a.txt", b"from txt"),
        ("a.json", json.dumps({"caption": "from json", "alt": "other"}).encode()),
        ("b.webp", jpeg(1, "WEBP")), ("b.json", json.dumps({"captions": ["one", "", "two"], "alt": ["x"]}).encode()),
        ("c.JPEG", jpeg(2)), ("c.json", json.dumps({"caption": "three"}).encode()),
    ]  # fmt: skip
    path = write_tar(tmp_path / "s.tar", members)
    source = open_source(f"wds:{path}")
    assert [source[i].captions for i in range(3)] == [("from txt",), ("one", "two"), ("three",)]
    named = open_source(f"wds:{path}", caption_column="alt")
    assert [named.captions(i) for i in range(2)] == [("other",), ("x",)]
    with pytest.raises(BadPair, match="no caption"):
        named[2]


def test_cls_members_are_classes(tmp_path):
    members = [
        m
        for i, c in enumerate(["dog", "cat", "dog"])
        for m in ((f"{i}.jpg", jpeg(i)), (f"{i}.txt", b"t"), (f"{i}.cls", c.encode()))
    ]
    members += [("9.jpg", jpeg(9)), ("9.txt", b"t")]
    path = write_tar(tmp_path / "s.tar", members)
    for _ in range(2):  # scanned, then from the kept index
        source = open_source(str(path))
        assert source.class_names == ("cat", "dog")
        assert [source.label(i) for i in range(4)] == [1, 0, 1, -1]


def test_nul_in_a_class_leaves_the_classes_of_the_kept_index_in_their_places(tmp_path):
    classes = [b"dog\0", b"\0unreadable", b"a\0cat"]
    parts = [((f"{i}.jpg", jpeg(i)), (f"{i}.txt", b"t"), (f"{i}.cls", said)) for i, said in enumerate(classes)]
    path = write_tar(tmp_path / "s.tar", [member for part in parts for member in part])
    for _ in range(2):  # scanned, then from the kept index
        source = open_source(str(path))
        assert [source.class_names[source.label(i)] for i in range(3)] == ["dog", "unreadable", "acat"]


def test_folder_of_split_folders_gives_the_splits_shards(tmp_path):
    img2dataset_shard(tmp_path / "train" / "0.tar", 0, 3)
    img2dataset_shard(tmp_path / "val" / "0.tar", 0, 1)
    assert [len(open_source(f"wds:{tmp_path}", split=s)) for s in ("train", "val", "all")] == [3, 1, 4]
    with pytest.raises(InputError, match=r"no such split .*train, val, or all"):
        open_source(f"wds:{tmp_path}", split="test")


def _image(source: Source, uid: int) -> object:
    return source[uid].image


def test_shards_are_read_from_other_processes(tmp_path):
    source = open_source(shards(tmp_path))
    assert source[0].image == jpeg(0)
    assert pickle.loads(pickle.dumps(source))[8].image == jpeg(23)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(_image, [(source, i) for i in range(9)]) == [jpeg(n) for n in EXPECTED]


def test_more_shards_than_files_kept_open(tmp_path, monkeypatch):
    monkeypatch.setattr("safeclip.data.sources.ranges.KEPT_OPEN", 2)
    source = open_source(shards(tmp_path))
    for _ in range(2):
        assert [source.captions(i) for i in range(9)] == [(f"caption {n}",) for n in EXPECTED]
    assert len(source._ranges._open) == 2


def test_pictures_that_are_links_or_have_a_dot_in_their_name_are_bad_pairs_and_not_lost(tmp_path):
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in (("a.jpg", jpeg(0)), ("a.json", b'{"caption": "x"}'), ("b.jpg", None)):
            about = tarfile.TarInfo(name)
            about.size = len(data or b"")
            if data is None:
                about.type, about.linkname = tarfile.LNKTYPE, "a.jpg"
            archive.addfile(about, io.BytesIO(data or b""))
        for name in ("b.json", "img.1.jpg", "img.1.txt", "c.alt.jpg", "c.jpg", "c.txt"):
            data = {"b.json": b'{"caption": "y"}', "img.1.txt": b"z", "c.txt": b"z"}.get(name, jpeg(3))
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    source = open_source(str(path))
    assert len(source) == 4
    assert (source[0].image, source[3].image) == (jpeg(0), jpeg(3))
    for uid, reason in ((1, "its image is a link"), (2, "or has a dot in its name")):
        with pytest.raises(BadPair, match=reason):
            source[uid]


def test_key_that_occurs_twice_is_one_bad_pair(tmp_path):
    members = [("a.jpg", jpeg(0)), ("a.txt", b"x"), ("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)), ("b.txt", b"y")]
    source = open_source(str(write_tar(tmp_path / "0.tar", members)))
    assert len(source) == 2
    with pytest.raises(BadPair, match=r"duplicate key.*0\.tar"):
        source[0]
    assert source[1].image == jpeg(2)


def test_a_class_that_is_told_twice_is_a_bad_pair_too(tmp_path):
    members = [("a.cls", b"cat"), ("a.jpg", jpeg(0)), ("a.txt", b"x"), ("b.jpg", jpeg(1)), ("b.txt", b"y")]
    members += [("b.cls", b"dog"), ("a.cls", b"dog")]
    source = open_source(str(write_tar(tmp_path / "0.tar", members)))
    with pytest.raises(BadPair, match=r"duplicate key.*0\.tar"):
        source[0]
    assert source.class_names[source.label(1)] == "dog"


def test_a_header_that_claims_more_than_there_is_is_one_line(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        info = tarfile.TarInfo("a.jpg")
        info.type, info.size = kind, 2**62
        path = tmp_path / f"{kind.decode()}.tar"
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(20_000))
        with pytest.raises(InputError, match=r"not an uncompressed tar file, or a damaged one|is truncated"):
            open_source(str(path))


def test_traversing_names_are_keys_and_nothing_is_written(tmp_path):
    inside = tmp_path / "data"
    path = write_tar(
        inside / "0.tar",
        [("../../evil.jpg", jpeg(0)), ("../../evil.txt", b"x"), ("/abs.jpg", jpeg(1)), ("/abs.txt", b"y")],
    )
    source = open_source(str(path))
    assert [source[i].captions for i in range(2)] == [("x",), ("y",)]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["0.tar", "0.tar.index.npz"]


def test_links_missing_images_and_bad_json_are_bad_pairs(tmp_path):
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        folder = tarfile.TarInfo("folder.jpg")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in (
            ("a.txt", b"x"),
            ("b.jpg", jpeg(0)),
            ("b.json", b"{" * 100_000),
            ("c.jpg", jpeg(1)),
            ("c.txt", b"\xff\xfe"),
        ):
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    source = open_source(str(path))
    assert len(source) == 3
    for uid, reason in enumerate(("its image is a link", "JSON cannot be read", "not UTF-8")):
        with pytest.raises(BadPair, match=reason):
            source[uid]


def test_texts_of_more_than_a_mebibyte_are_bad_pairs_and_pictures_may_be_larger(tmp_path):
    most, picture = 2**20, jpeg(0) + bytes(2**21)
    members = [("a.jpg", picture), ("a.txt", b"x" * most), ("b.jpg", picture), ("b.txt", b"x" * (most + 1))]
    members += [("c.jpg", picture), ("c.json", b'{"caption": "x"}' + b" " * most)]
    source = open_source(str(write_tar(tmp_path / "0.tar", members)))
    assert (len(source[0].captions[0]), len(source[0].image)) == (most, len(picture))
    for uid, reason in ((1, "its text of 1,048,577 bytes is more than 1,048,576"), (2, "its JSON of 1,048,592 bytes")):
        with pytest.raises(BadPair, match=reason):
            source.captions(uid)


def test_no_tar_no_pairs_and_no_captions_are_input_errors(tmp_path):
    write(tmp_path / "text.tar", "not a tar " * 100)
    with pytest.raises(InputError, match=r"text\.tar: not an uncompressed tar"):
        open_source(f"{tmp_path}/text.tar")
    write_tar(tmp_path / "none.tar", [("README", b"x")])
    with pytest.raises(InputError, match="holds no pair"):
        open_source(f"{tmp_path}/none.tar")
    write_tar(tmp_path / "mute.tar", [("a.jpg", jpeg(0))])
    with pytest.raises(InputError, match="no captions"):
        open_source(f"{tmp_path}/mute.tar")
    with pytest.raises(InputError, match="no such file"):
        open_source(f"wds:{tmp_path}/{{000..002}}.tar")


def test_a_forked_worker_leaves_the_parents_file_where_it_was(tmp_path):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 50)
    source = open_source(str(path))
    source[0]
    handle = source._ranges._open[str(path)]
    before = os.lseek(handle.fileno(), 0, os.SEEK_CUR)
    worker = multiprocessing.get_context("fork").Process(target=_image, args=(source, 49))  # inherits, pickles nothing
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert os.lseek(handle.fileno(), 0, os.SEEK_CUR) == before


def test_a_catalog_keeps_40_bytes_a_pair_and_nothing_of_python(tmp_path):
    """Three offsets, three sizes and a class: what a worker holds of 10 million pairs is 400 MB, shared by the fork."""
    img2dataset_shard(tmp_path / "0.tar", 0, 500)
    source = open_source(str(tmp_path))
    arrays = {name: value for name, value in vars(source).items() if isinstance(value, np.ndarray)}
    assert sum(array.nbytes for array in arrays.values() if len(array) == 500) == 40 * 500
    per_pair = [v for v in vars(source).values() if not isinstance(v, np.ndarray) and hasattr(v, "__len__")]
    assert all(len(value) < 500 for value in per_pair if isinstance(value, (list, dict, tuple, set)))
