"""Hugging Face datasets on disk, undecoded; and the line that says which extra is missing."""

from __future__ import annotations

import builtins
import pickle
import sys
import types

import pyarrow as pa
import pytest

from safeclip.data.pairs import BadPair, Source
from safeclip.data.sources import open_source
from safeclip.errors import InputError

from .made import jpeg, pictures


def test_missing_package_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'safeclip\[hub\]'"):
        open_source("hf:user/name")


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")

    def make(first: int, count: int, labels: list[int]):
        features = datasets.Features(
            {
                "image": datasets.Image(),
                "caption": datasets.Sequence(datasets.Value("string")),
                "class": datasets.ClassLabel(names=["dog", "cat"]),
            }
        )
        numbers = range(first, first + count)
        data = {
            "image": [{"bytes": jpeg(n), "path": None} for n in numbers],
            "caption": [[f"caption {n}", ""] for n in numbers],
            "class": labels,
        }
        return datasets.Dataset.from_dict(data, features=features)

    return make


def test_saved_set_of_splits_is_read_undecoded(tmp_path, rows):
    import datasets

    datasets.DatasetDict({"train": rows(0, 3, [0, 0, 1]), "test": rows(5, 1, [1])}).save_to_disk(str(tmp_path / "set"))
    train, test, both = (open_source(f"hf:{tmp_path}/set", split=s) for s in ("train", "test", "all"))
    assert isinstance(train, Source)
    assert (train[2].image, train[2].captions, train.captions(0)) == (jpeg(2), ("caption 2",), ("caption 0",))
    assert train.class_names == test.class_names == ("cat", "dog")
    assert [train.label(i) for i in range(3)] == [1, 1, 0]
    assert (len(both), both[3].captions, both.label(3), test.label(0)) == (4, ("caption 5",), 0, 0)
    assert pickle.loads(pickle.dumps(train))[1].image == jpeg(1)
    assert len({s.fingerprint for s in (train, test, both)}) == 3
    with pytest.raises(InputError, match=r"no such split .*train, test"):
        open_source(f"hf:{tmp_path}/set", split="val")


@pytest.mark.parametrize("column", ["split", "Split"])
def test_saved_set_without_splits_honours_a_split_column(tmp_path, rows, column):
    rows(0, 3, [0, 1, 1]).add_column(column, ["train", "val", "train"]).save_to_disk(str(tmp_path / "set"))
    source = open_source(str(tmp_path / "set"))
    assert [source[i].captions[0] for i in range(len(source))] == ["caption 0", "caption 2"]
    assert source.label(1) == 0


def test_missing_set_is_one_line(tmp_path):
    pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    pictures(tmp_path, ["dataset_info.json"])
    with pytest.raises(InputError, match="cannot load it") as caught:
        open_source(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("version", "told"), [("3.6.0", {"trust_remote_code": False}), ("4.0.0", {})])
@pytest.mark.parametrize("kind", ["folder", "name"])
def test_old_versions_are_told_to_run_no_code_of_a_set(tmp_path, monkeypatch, kind, version, told):
    asked = []

    def load_dataset(path, *rest, **given):
        asked.append(given)
        raise ValueError("enough seen")

    fake = types.SimpleNamespace(__version__=version, load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    with pytest.raises(InputError, match="enough seen"):
        open_source(f"hf:{tmp_path}" if kind == "folder" else "hf:user/name")
    assert asked == [told]


def test_a_row_that_is_not_utf8_is_a_bad_pair(tmp_path):
    datasets = pytest.importorskip("datasets")
    captions = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"fine"]).buffers())
    rows = datasets.Dataset(pa.table({"image": pa.array([jpeg(0), jpeg(1)]), "caption": captions}))
    rows.save_to_disk(tmp_path / "set")
    source = open_source(f"hf:{tmp_path / 'set'}")
    assert source[1].captions == ("fine",)
    for ask in (source.__getitem__, source.captions):
        with pytest.raises(BadPair, match="row is not UTF-8"):
            ask(0)
