"""Storage that goes away halts the run in one line; a picture that is missing leaves it, and nothing else does."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeclip.config import DataConfig
from safeclip.data import read
from safeclip.data.pairs import BadPair
from safeclip.data.read import Reader
from safeclip.data.sources import open_source, row_groups
from safeclip.data.sources.ranges import Ranges
from safeclip.errors import Halted
from safeclip.run import RunDir
from safeclip.train.loop import resume, train
from tests import tiny
from tests.data.made import img2dataset_shard, jpeg
from tests.outcome import differences, outcome

PAIRS = 60


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited."""
    waited: list[float] = []
    monkeypatch.setattr(read.time, "sleep", waited.append)
    return waited


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV, and its pictures on what stands for a mount."""
    mount = tmp_path / "mount"
    mount.mkdir()
    rows = ["image,caption"]
    for i in range(PAIRS):
        (mount / f"{i}.jpg").write_bytes(jpeg(i * 4))
        rows.append(f"{i}.jpg,a picture of shade {i}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def opened(folder: Path) -> Reader:
    config = DataConfig(spec=f"csv:{folder}/pairs.csv", image_root=str(folder / "mount"), cache_mib=0)
    reader = Reader(open_source(config.spec, image_root=config.image_root), config)
    reader.check()
    return reader


def test_a_picture_that_is_missing_is_one_bad_pair(table: Path, waits: list[float]) -> None:
    reader = opened(table)
    assert 7 in reader._sizes
    assert 8 not in reader._sizes
    for uid in (7, 8):  # known to have been there, or not
        (table / f"mount/{uid}.jpg").unlink()
        with pytest.raises(BadPair, match="no such file"):
            reader.read(uid)
    assert waits == [0.0, 0.0]
    assert reader.read(10)[1] == ("a picture of shade 10",)


@pytest.mark.parametrize("how", ["unmounted", "stale"])
def test_a_mount_that_is_gone_halts_in_one_line(how: str, table: Path, waits: list[float]) -> None:
    reader = opened(table)
    shutil.rmtree(table / "mount")
    if how == "unmounted":
        (table / "mount").mkdir()  # the empty folder that it was mounted on
    with pytest.raises(Halted, match=r"the storage no longer answers: uid 7 \(image '7\.jpg': .* nor uids \[") as error:
        reader.read(7)
    assert str(error.value).endswith("mount it again")
    assert "\n" not in str(error.value)
    assert waits == list(read.PATIENCE)


def test_a_mount_that_comes_back_meanwhile_costs_nothing(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = opened(table)
    (table / "mount").rename(table / "elsewhere")

    def sleep(seconds: float) -> None:
        if seconds == read.PATIENCE[2]:
            (table / "elsewhere").rename(table / "mount")

    monkeypatch.setattr(read.time, "sleep", sleep)
    assert reader.read(7)[1] == ("a picture of shade 7",)


@pytest.mark.parametrize("kind", ["wds", "parquet", "tsv"])
def test_every_file_of_pairs_is_told_from_a_bad_pair(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    folder.mkdir()
    MAKERS[kind](folder)
    config = DataConfig(spec=f"{kind}:{folder}", cache_mib=0)
    reader = Reader(open_source(config.spec), config)
    reader.check()
    shutil.rmtree(folder)
    again = Reader(reader.source, config)
    again._sizes = reader._sizes
    again.source = reopened(reader.source)  # open files outlive their names; a lost mount takes them along
    with pytest.raises(Halted, match="the storage no longer answers"):
        again.read(7)


def reopened(source):
    import pickle

    return pickle.loads(pickle.dumps(source))


def make_shards(folder: Path) -> None:
    import io
    import tarfile

    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for i in range(PAIRS // 2):
                for ending, content in (("jpg", jpeg(i)), ("txt", b"a caption")):
                    about = tarfile.TarInfo(f"{shard}{i:03d}.{ending}")
                    about.size = len(content)
                    tar.addfile(about, io.BytesIO(content))


def make_parquet(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {"image": [jpeg(i) for i in range(PAIRS)], "caption": [f"shade {i}" for i in range(PAIRS)]}
    pq.write_table(pa.table(rows), folder / "pairs.parquet")


def make_tsv(folder: Path) -> None:
    for i in range(PAIRS):
        (folder / f"{i}.jpg").write_bytes(jpeg(i))
    rows = [f"{i}.jpg\tshade {i}" for i in range(PAIRS)]
    (folder / "pairs.tsv").write_text("\n".join(["image\tcaption", *rows]) + "\n")


MAKERS = {"wds": make_shards, "parquet": make_parquet, "tsv": make_tsv}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_loses_its_data_saves_where_it_stands_and_goes_on_to_the_same_end(
    workers: int, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "method": "clip",
        "epochs": 2,
        "optim.batch_size": 10,
        "data.spec": f"csv:{table}/pairs.csv",
        "data.image_root": str(table / "mount"),
        "data.cache_mib": 0,
        "data.workers": workers,
        "data.max_bad_share": 1.0,
    }
    whole = train(tiny.config(changes), table / "whole", quiet=True)
    from safeclip.train.step import Stepper

    step, calls = Stepper.__call__, []

    def unmounts(self: Stepper, *given):
        calls.append(1)
        if len(calls) == 8:
            (table / "mount").rename(table / "elsewhere")
        return step(self, *given)

    monkeypatch.setattr(Stepper, "__call__", unmounts)
    monkeypatch.setattr(read, "PATIENCE", (0.0,))
    run = RunDir(table / "run")
    with pytest.raises(Halted, match=r"mount it again; `safeclip train --resume .* goes on from epoch-002-batch-0000"):
        train(tiny.config(changes), run.path, quiet=True)
    assert not run.bad_pairs_file.exists(), "not one pair left the run"
    (table / "elsewhere").rename(table / "mount")
    resume(run.path, quiet=True)
    assert differences(outcome(whole), outcome(run)) == []
    assert np.sum([line["event"] == "epoch" for line in run.log()]) == 2


class Lost:
    """A file of a mount that was lost and came back: opened before, it stays lost."""

    times = 0

    def __init__(self, path: str):
        self.file, self.times = open(path, "rb"), Lost.times  # noqa: SIM115  (it is closed as a file is)

    def __getattr__(self, name: str):
        if self.times != Lost.times and name != "close":
            raise OSError(errno.ESTALE, "Stale file handle")
        return getattr(self.file, name)


def test_files_opened_before_the_storage_was_lost_are_opened_anew(tmp_path: Path, waits: list[float]) -> None:
    source = open_source(str(img2dataset_shard(tmp_path / "0.tar", 0, PAIRS)))
    source._ranges = Ranges(Lost)
    reader = Reader(source, DataConfig(spec="wds:0.tar", cache_mib=0))
    reader.check()
    Lost.times += 1
    assert reader.read(5)[1] == ("caption 5",)
    assert sum(waits) == 0


def test_so_are_parquet_files(tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"image": [jpeg(i) for i in range(PAIRS)], "caption": [f"caption {i}" for i in range(PAIRS)]})
    pq.write_table(table, tmp_path / "0.parquet", row_group_size=10)
    monkeypatch.setattr(row_groups, "is_url", lambda path: True)
    monkeypatch.setattr(row_groups, "open_binary", Lost)
    source = open_source(f"parquet:{tmp_path / '0.parquet'}")
    reader = Reader(source, DataConfig(spec=source.name, cache_mib=0))
    reader.check()
    monkeypatch.setattr(row_groups, "CACHE_BYTES", 0)
    source._table._tables.clear()
    Lost.times += 1
    assert reader.read(5)[1] == ("caption 5",)
