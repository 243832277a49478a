"""Many local shards opened for the first time: scanned in several processes, to the same set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from safeclip.data.sources import open_source, scan_many, tar_index
from safeclip.errors import InputError

from .made import img2dataset_shard

COUNT = 20


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that lists which process scanned which shard."""
    scan, told = tar_index.scan, tmp_path / "scanned.txt"
    told.touch()

    def telling(path: str, *about: Any) -> Any:
        with told.open("a") as file:
            file.write(f"{os.getpid()} {os.path.basename(path)}\n")
        return scan(path, *about)

    monkeypatch.setattr(tar_index, "scan", telling)
    return told


def shards(folder: Path, count: int = COUNT) -> str:
    folder.mkdir()
    for number in range(count):
        img2dataset_shard(folder / f"{number:05d}.tar", number * 10, 1 + number % 3)
    return f"wds:{folder}"


def lines(told: Path) -> list[list[str]]:
    return [line.split() for line in told.read_text().splitlines()]


def test_each_shard_is_scanned_once_and_the_set_is_that_of_one_process(
    scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(scan_many, "wanted_threads", lambda cores=cores: cores)
        scanned.write_text("")
        spec = shards(tmp_path / f"of-{cores}")
        source = open_source(spec)
        found.append([source[uid].captions for uid in range(len(source))])
        who, which = zip(*lines(scanned), strict=True)
        assert sorted(which) == [f"{number:05d}.tar" for number in range(COUNT)]
        assert len(set(who)) == cores
        assert (str(os.getpid()) in who) == (cores == 1)
        open_source(spec)
        assert len(lines(scanned)) == COUNT, "not again"
    assert found[0] == found[1]


def test_shards_that_changed_since_they_were_scanned_are_scanned_side_by_side_again(
    scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As copies are, whose files have another time."""
    monkeypatch.setattr(scan_many, "wanted_threads", lambda: 3)
    spec = shards(tmp_path / "copied")
    for again in range(2):
        scanned.write_text("")
        open_source(spec)
        who, which = zip(*lines(scanned), strict=True)
        assert len(set(which)) == len(which) == COUNT
        assert len(set(who)) == 3
        assert str(os.getpid()) not in who
        for number in range(COUNT):
            os.utime(tmp_path / f"copied/{number:05d}.tar", (again, again))


def test_few_are_scanned_by_the_process_that_opens_them_in_their_order(scanned: Path, tmp_path: Path) -> None:
    open_source(shards(tmp_path / "few", 5))
    assert lines(scanned) == [[str(os.getpid()), f"{number:05d}.tar"] for number in range(5)]


def test_ranks_that_open_the_same_shards_scan_them_in_other_orders(
    scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_many, "wanted_threads", lambda: 1)
    orders = []
    for number in range(2):
        scanned.write_text("")
        open_source(shards(tmp_path / f"{number}"))
        orders.append([name for _, name in lines(scanned)])
    assert orders[0] != orders[1]


@pytest.mark.parametrize("cores", [1, 3])
def test_a_damaged_shard_ends_the_opening_in_its_own_words(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scan_many, "wanted_threads", lambda: cores)
    spec = shards(tmp_path / "set")
    torn = tmp_path / "set/00011.tar"
    torn.write_bytes(torn.read_bytes()[:700])
    with pytest.raises(InputError, match=r"00011\.tar: is truncated"):
        open_source(spec)
    assert capfd.readouterr().err == ""
