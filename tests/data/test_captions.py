"""COCO, Visual Genome, CC3M and class folders, each as its makers lay it down."""

from __future__ import annotations

import json
import pickle
import zlib

import pytest

from safeclip.data.pairs import BadPair, Source
from safeclip.data.sources import json_stream, open_source
from safeclip.data.sources.cc3m import DownloadedSource
from safeclip.errors import InputError

from .made import jpeg, pictures, write, write_json, write_tar


def coco(folder, images="train2017"):
    names = [f"{i:012d}.jpg" for i in (9, 25, 30)]
    pictures(folder / images, names)
    about = {
        "info": {"year": 2017},
        "licenses": [{"id": 1, "name": "x"}],
        "images": [
            {"id": int(n[:12]), "file_name": n, "height": 8, "width": 8, "license": 1, "coco_url": "http://x"}
            for n in names
        ],
        "annotations": [
            {"image_id": i, "id": 100 * i + k, "caption": f"{i} says {k}"} for k in range(5) for i in (25, 9)
        ],
    }
    return write_json(folder / "annotations" / "captions_train2017.json", about)


def test_coco_groups_five_captions_a_picture_in_file_order(tmp_path):
    source = open_source(f"coco:{coco(tmp_path)}")
    assert isinstance(source, Source)
    assert len(source) == 3
    assert source[0].captions == tuple(f"9 says {k}" for k in range(5))
    assert (source[1].image, source[1].captions[0]) == (jpeg(1), "25 says 0")
    assert (source.class_names, source.label(0)) == ((), -1)
    with pytest.raises(BadPair, match="no caption"):
        source[2]
    assert pickle.loads(pickle.dumps(source))[1].image == jpeg(1)


def test_coco_pictures_elsewhere_are_named_by_the_spec_or_image_root(tmp_path):
    path = coco(tmp_path, images="elsewhere/pics")
    with pytest.raises(InputError, match=r"give theirs as data\.image_root"):
        open_source(f"coco:{path}")
    assert open_source(f"coco:{path}?images={tmp_path}/elsewhere/pics")[0].image == jpeg(0)
    assert open_source(str(path), image_root=f"{tmp_path}/elsewhere/pics")[0].image == jpeg(0)


def test_karpathys_coco_has_splits_and_train_takes_restval(tmp_path):
    pictures(tmp_path / "val2014", ["a.jpg", "b.jpg", "c.jpg"])
    images = [
        {
            "filepath": "val2014",
            "filename": f"{n}.jpg",
            "split": s,
            "sentences": [{"raw": f"{n} {k}", "tokens": []} for k in range(2)],
        }
        for n, s in (("a", "train"), ("b", "test"), ("c", "restval"))
    ]
    write_json(tmp_path / "dataset_coco.json", {"images": images, "dataset": "coco"})
    train, test = (open_source(f"{tmp_path}/dataset_coco.json", split=s) for s in ("train", "test"))
    assert [train[i].captions for i in range(2)] == [("a 0", "a 1"), ("c 0", "c 1")]
    assert (train[1].image, test[0].captions) == (jpeg(2), ("b 0", "b 1"))


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no list `images`"),
        ('{"images": [{"id": 1}], "annotations": []}', "not as COCO writes it"),
        ('{"images": [], "annotations": []}', "holds no pair"),
        ('{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}', "occur twice"),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 2, "caption": "x"}]}', "image_id 2"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": []}]}',
            "without `caption`",
        ),
    ],
)
def test_broken_coco_files_are_one_line(tmp_path, about, says):
    with pytest.raises(InputError, match=says) as caught:
        open_source(f"coco:{write(tmp_path / 'captions_x.json', about)}")
    assert "\n" not in str(caught.value)


def region(picture: int, phrase: object) -> dict:
    return {"region_id": 1, "image_id": picture, "x": 0, "y": 0, "width": 4, "height": 4, "phrase": phrase}


def genome(folder, count: int = 3):
    pictures(folder, ["VG_100K/1.jpg", "VG_100K_2/2.jpg", "VG_100K/3.jpg"])
    entries = [
        {"id": n, "regions": [region(n, f"thing {n}.{k}") for k in range(8 if n < 3 else 2)]}
        for n in range(1, count + 1)
    ]
    return write_json(folder / "region_descriptions.json", entries)


def test_visual_genome_joins_up_to_five_phrases_the_same_every_time(tmp_path):
    path = genome(tmp_path)
    source, again = open_source(f"vg:{path}"), open_source(str(path))
    assert len(source) == 3
    first = source[0].captions[0].split("; ")
    assert len(set(first)) == 5
    assert set(first) <= {f"thing 1.{k}" for k in range(8)}
    assert sorted(source[2].captions[0].split("; ")) == ["thing 3.0", "thing 3.1"]
    assert [source.captions(i) for i in range(3)] == [again.captions(i) for i in range(3)]
    assert [source[i].image for i in range(3)] == [jpeg(0), jpeg(1), jpeg(2)]
    assert source.captions(1)[0].replace("2.", "1.") != source.captions(0)[0]


def test_visual_genome_is_parsed_in_pieces(tmp_path, monkeypatch):
    path = genome(tmp_path, 50)
    whole = [open_source(str(path)).captions(i) for i in range(50)]
    monkeypatch.setattr(json_stream, "_CHUNK", 7)
    assert [open_source(str(path)).captions(i) for i in range(50)] == whole
    assert list(json_stream.items(str(path))) == json.loads(path.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        "[{]",
        '[{"id": 1}]',
        '[{"id": 1, "regions": [{"phrase": "x"}]',
        '[{"id": 1, "regions": []}, {"id": 1, "regions": []}]',
        "[]",
        "",
    ],
)
def test_broken_visual_genome_files_are_one_line(tmp_path, text):
    with pytest.raises(InputError, match=r"region_descriptions\.json"):
        open_source(str(write(tmp_path / "region_descriptions.json", text)))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "99999999999999999999", "1e300"])
def test_visual_genome_numbers_beyond_64_bits_are_told_with_their_entry(tmp_path, number):
    path = tmp_path / "region_descriptions.json"
    for first in ("", '"id": 1, "regions": []}, {'):
        write(path, f'[{{{first}"id": {number}, "regions": [{{"phrase": "x"}}]}}]')
        with pytest.raises(InputError, match=rf"entry {1 if first else 0} has an `id` beyond 64 bits"):
            open_source(str(path))


def test_captions_and_phrases_that_are_no_text_are_none(tmp_path):
    pictures(tmp_path, ["1.jpg", "2.jpg"])
    said = [(1, None), (1, "a cat"), (2, None), (2, 7)]
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)]
    about = {"images": images, "annotations": [{"image_id": n, "caption": text} for n, text in said]}
    write_json(tmp_path / "captions_x.json", about)
    texts = {n: [text for of, text in said if of == n] for n in (1, 2)}
    write_json(
        tmp_path / "region_descriptions.json",
        [{"id": n, "regions": [region(n, text) for text in texts[n]]} for n in texts],
    )
    sentences = [{"filename": f"{n}.jpg", "split": "train", "sentences": [{"raw": t} for t in texts[n]]} for n in texts]
    write_json(tmp_path / "dataset_x.json", {"images": sentences})
    for name in ("captions_x.json", "region_descriptions.json", "dataset_x.json"):
        source = open_source(f"{tmp_path}/{name}")
        assert source.captions(0) == ("a cat",), name
        with pytest.raises(BadPair, match="no caption"):
            source.captions(1)


def test_cc3m_with_open_clips_header_is_a_table(tmp_path):
    pictures(tmp_path, ["cc_data/train/0.jpg", "cc_data/train/1.jpg"])
    path = write(
        tmp_path / "Train.tsv", 'title\tfilepath\na cat\tcc_data/train/0.jpg\nsome, "dogs"\tcc_data/train/1.jpg\n'
    )
    source = open_source(f"cc3m:{path}")
    assert [source[i].captions for i in range(2)] == [("a cat",), ('some, "dogs"',)]
    assert source[1].image == jpeg(1)


def test_cc3m_as_google_wrote_it_pairs_row_numbers_with_what_was_downloaded(tmp_path):
    rows = [('"a cat', "http://x/0"), ("a dog", "http://x/1"), ("a fish", "http://x/2"), ('he said "no', "http://x/3")]
    path = write(tmp_path / "Train_GCC-training.tsv", "".join(f"{c}\t{u}\n" for c, u in rows))
    names = [
        "images/0.jpg",
        f"images/2_{zlib.crc32(rows[2][1].encode())}",
        "images/000000003.jpg",
        "images/notes.txt",
        "images/77.jpg",
    ]
    pictures(tmp_path, names)
    source = open_source(f"cc3m:{path}")
    assert isinstance(source, DownloadedSource)
    assert [source[i].captions[0] for i in range(len(source))] == ['"a cat', "a fish", 'he said "no']
    assert [source[i].image for i in range(3)] == [jpeg(0), jpeg(1), jpeg(2)]
    assert source.not_downloaded == 1


def test_cc3m_headerless_paths_and_no_pictures(tmp_path):
    pictures(tmp_path / "images", ["x.jpg"])
    assert open_source(f"cc3m:{write(tmp_path / 'a.tsv', chr(9).join(['a cat', 'x.jpg']))}")[0].image == jpeg(0)
    with pytest.raises(InputError, match="no picture named by row"):
        open_source(f"cc3m:{write(tmp_path / 'b.tsv', 'a cat' + chr(9) + 'http://x/1')}")
    with pytest.raises(InputError, match="1 cells"):
        open_source(f"cc3m:{write(tmp_path / 'c.tsv', 'a cat')}")


def test_class_folders_are_classes_and_captions(tmp_path):
    pictures(tmp_path, ["golf_ball/b.jpg", "golf_ball/deep/a.PNG", "cat/z.jpeg", "cat/notes.txt", ".hidden/x.jpg"])
    source = open_source(f"folder:{tmp_path}")
    assert isinstance(source, Source)
    assert source.class_names == ("cat", "golf ball")
    assert [(source[i].captions[0], source.label(i)) for i in range(3)] == [
        ("a photo of a cat", 0), ("a photo of a golf ball", 1), ("a photo of a golf ball", 1),
    ]  # fmt: skip
    assert source[0].image == jpeg(2)


def test_jpegs_by_their_rarer_endings_are_pictures(tmp_path):
    pictures(tmp_path / "classes", ["cat/0.jfif", "cat/1.JPE"])
    assert len(open_source(f"folder:{tmp_path}/classes")) == 2
    write(tmp_path / "p.tsv", "a cat\thttp://x/0\na dog\thttp://x/1\n")
    pictures(tmp_path / "images", ["0.jfif", "1.jpe"])
    assert [open_source(f"cc3m:{tmp_path}/p.tsv")[i].image for i in range(2)] == [jpeg(0), jpeg(1)]
    members = [(f"{i}.{ending}", jpeg(i) if ending != "txt" else b"t") for i in range(2) for ending in ("jfif", "txt")]
    assert open_source(str(write_tar(tmp_path / "s.tar", members)))[1].image == jpeg(1)


def test_class_folders_below_split_folders(tmp_path):
    pictures(tmp_path, ["train/cat/0.jpg", "train/dog/0.jpg", "val/emu/0.jpg"])
    train, val = (open_source(str(tmp_path), split=s) for s in ("train", "val"))
    assert train.class_names == val.class_names == ("cat", "dog", "emu")
    assert (len(train), len(val), val.label(0), len(open_source(str(tmp_path), split="all"))) == (2, 1, 2, 3)
    with pytest.raises(InputError, match=r"no such split .*train, val"):
        open_source(str(tmp_path), split="test")
