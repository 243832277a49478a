"""Tar shards that a download or a person broke are named, before a pair is missed."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import pytest

from safeclip.data.sources import open_source
from safeclip.errors import InputError

from .made import img2dataset_shard, jpeg, write_tar


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_truncated_shard_is_named(tmp_path, keep):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 20)
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match=r"0\.tar.*(truncated|damaged)"):
        open_source(str(path))


def test_shard_cut_between_members_is_truncated_too(tmp_path):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", jpeg(0)), ("a.txt", b"x")])
    path.write_bytes(path.read_bytes()[: 512 * (1 + -(-len(jpeg(0)) // 512))])
    with pytest.raises(InputError, match="truncated"):
        open_source(str(path))


def test_zeros_in_place_of_pairs_and_archives_behind_one_another_are_told(tmp_path):
    path = img2dataset_shard(tmp_path / "0.tar", 0, 300)
    whole = path.read_bytes()
    third = len(whole) // 3 // 512 * 512
    tail = whole[:third] + bytes(len(whole) - third)
    for damaged in (tail, whole[:third] + bytes(512 * 9) + whole[third + 512 * 9 :], whole + whole):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"0\.tar: is truncated or damaged after .* samples, or holds several"):
            open_source(str(path))
    path.write_bytes(whole + bytes(2**16))
    assert len(open_source(str(path))) == 300, "some programs fill up to blocks of their own"


def test_a_members_negative_size_is_damage(tmp_path):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", jpeg(0)), ("a.cls", b"cat"), ("a.txt", b"x")])
    data = bytearray(path.read_bytes())
    at = data.index(b"a.cls")
    data[at + 124 : at + 136] = (-1).to_bytes(12, "big", signed=True)  # base-256, as GNU tar writes large numbers
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"is truncated in 'a\.cls'"):
        open_source(str(path))


def pax_shard(path: Path, body: bytes) -> str:
    """A shard of one picture, whose extended header holds this."""
    header, picture = tarfile.TarInfo("x"), tarfile.TarInfo("0.jpg")
    header.type, header.size = tarfile.XHDTYPE, len(body)
    blocks = [header.tobuf(tarfile.GNU_FORMAT), body, b"\0" * (-len(body) % 512), picture.tobuf(), b"\0" * 1024]
    path.write_bytes(b"".join(blocks))
    return f"wds:{path}"


@pytest.mark.parametrize("body", [b"1" * 100_000, b"x" * (1 << 21)])
def test_an_extended_header_that_would_take_long_is_damage(tmp_path, body):
    """Some versions of Python take time with the square of its digits."""
    start = time.process_time()
    with pytest.raises(InputError, match=r"a\.tar: not an uncompressed tar file, or a damaged one \(.*header"):
        open_source(pax_shard(tmp_path / "a.tar", body))
    assert time.process_time() - start < 1.0


def test_extended_headers_of_long_names_and_times_are_read(tmp_path):
    name = "folder/" * 20 + "0" * 90
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for ending, data in (("jpg", jpeg(0)), ("txt", b"a cat")):
            member = tarfile.TarInfo(f"{name}.{ending}")
            member.size, member.mtime = len(data), 1_700_000_000.123456789
            archive.addfile(member, io.BytesIO(data))
    assert open_source(f"wds:{tmp_path}/a.tar")[0].captions == ("a cat",)
