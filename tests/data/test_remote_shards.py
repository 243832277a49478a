"""Shards at a URL: read as if they lay here, each fetched once and whole, with one line when they cannot be had."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from safeclip.config import DataConfig, ViewsConfig
from safeclip.data.loader import CLEAN, Loader
from safeclip.data.pairs import Shards
from safeclip.data.plan import plan
from safeclip.data.read import Reader
from safeclip.data.sources import ask_again, open_pairs, open_source, spool, tar_index
from safeclip.errors import InputError, RunError

from .made import img2dataset_shard, jpeg

SHARDS, PER_SHARD = 6, 20
PAIRS = SHARDS * PER_SHARD
MIB = 2**20


class Server(ThreadingHTTPServer):
    """Serves a folder without ranges, as many do; counts what is asked for, and does as it is told.

    broken: path -> how many more times it answers 500. cut: paths of which only half is sent. ranges: whether a part
    of a file is sent where a part is asked for.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        self.asked: Counter[str] = Counter()
        self.broken: dict[str, int] = {}
        self.cut: set[str] = set()
        self.ranges = False
        super().__init__(("127.0.0.1", 0), partial(_Answer, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answer(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        if self.server.broken.get(self.path, 0) > 0:
            self.server.broken[self.path] -= 1
            self.send_error(500)
            return
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if span is None or not self.server.ranges:
            super().do_GET()
            return
        first, last = map(int, span.groups())
        whole = Path(self.translate_path(self.path)).read_bytes()
        part = whole[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def copyfile(self, source: io.BufferedReader, outputfile: io.BufferedWriter) -> None:
        data = source.read()
        with contextlib.suppress(OSError):
            outputfile.write(data[: len(data) // 2] if self.path in self.server.cut else data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(spool, "_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(ask_again, "WAIT_SECONDS", 0.01)
    return tmp_path / "cache" / "safeclip" / "copies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(SHARDS):
        img2dataset_shard(tmp_path / "shards" / f"{number:03d}.tar", number * PER_SHARD, PER_SHARD)
    return tmp_path / "shards"


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    pytest.importorskip("aiohttp")
    server = Server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def http(folder: Path) -> Iterator[Server]:
    with serving(folder) as server:
        yield server


@pytest.fixture(params=["http", "memory"])
def address(request: pytest.FixtureRequest, folder: Path) -> str:
    """The same code reads s3:// and gs://, through their own drivers."""
    if request.param == "http":
        return f"wds:{request.getfixturevalue('http').url}/{{000..005}}.tar"
    files = fsspec.filesystem("memory")
    for file in folder.glob("*.tar"):
        files.pipe_file(f"/bucket/{file.name}", file.read_bytes())
    return "wds:memory://bucket/*.tar"


def loader(source: Shards, workers: int = 0, **settings: object) -> Loader:
    def tokenize(captions: list[str]) -> torch.Tensor:
        return torch.tensor([[int(c.split()[-1])] for c in captions])

    tokenize.read = str  # type: ignore[attr-defined]
    reader = Reader(source, DataConfig(spec=source.name, workers=workers, **settings))
    return Loader(reader, ViewsConfig(), 8, tokenize, {"clip": CLEAN, "unimodal": CLEAN}, seed=0)


def read(made: Loader, epoch: int = 1, start: int = 0) -> list[tuple[list[int], list[int]]]:
    """(uids, numbers in the captions) of each batch of an epoch of two sides."""
    sides = {"clip": np.arange(0, PAIRS, 3), "unimodal": np.setdiff1d(np.arange(PAIRS), np.arange(0, PAIRS, 3))}
    batches = made.ordered(epoch, plan(0, epoch, sides, 8))
    return [(b.uids.tolist(), b.tokens[0, :, 0].tolist()) for b in made.batches(epoch, batches, start)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_from_a_url_is_that_of_the_files_here_exactly_once_and_resumable(
    address: str, folder: Path, workers: int
) -> None:
    source = open_source(address)
    assert isinstance(source, Shards)
    assert source.remote
    assert source[21].image == jpeg(21)
    far = read(loader(source, workers, shard_window=2))
    near = read(loader(open_source(f"wds:{folder}"), 0, shard_window=2))
    assert far == near
    uids = [uid for some, _ in far for uid in some]
    assert sorted(uids) == list(range(PAIRS))
    assert uids == [number for _, some in far for number in some], "the uid's own caption"
    assert read(loader(source, workers, shard_window=2), start=7) == far[7:]
    assert read(loader(source, workers, shard_window=2), epoch=2) != far


def test_each_shard_is_asked_for_once_an_epoch_and_not_again_while_there_is_room(http: Server) -> None:
    source = open_pairs(DataConfig(spec=f"wds:{http.url}/{{000..005}}.tar"))
    for epoch in (1, 2):
        read(loader(source, 2), epoch)
    assert {path: count for path, count in http.asked.items() if path.endswith(".tar")} == {
        f"/{n:03d}.tar": 1 for n in range(SHARDS)
    }


def test_copies_keep_to_the_limit_and_make_room_for_one_another(http: Server, cache: Path, folder: Path) -> None:
    size = (folder / "000.tar").stat().st_size
    open_source(f"wds:{folder}")  # makes indices, so that no shard is fetched for its index
    source = open_source(f"wds:{http.url}/{{000..005}}.tar", spool_gib=3.5 * size / 2**30)
    for uid in range(PAIRS):
        assert source.captions(uid) == (f"caption {uid}",)
        assert sum(f.stat().st_size for f in cache.glob("*.copy")) <= 3.5 * size
    assert [http.asked[f"/{n:03d}.tar"] for n in range(SHARDS)] == [1] * SHARDS, "in order, none is fetched twice"
    assert pickle.loads(pickle.dumps(source)).captions(0) == ("caption 0",)
    assert http.asked["/000.tar"] == 2, "the copy longest unused had to go"


def test_too_little_room_for_the_window_is_said_at_the_start(http: Server) -> None:
    with pytest.raises(InputError, match=r"data\.spool_gib = 1e-06: 4 shards .* data\.shard_window"):
        open_pairs(DataConfig(spec=f"wds:{http.url}/{{000..005}}.tar", spool_gib=1e-6, shard_window=2))


def test_a_server_that_fails_for_a_while_costs_nothing_but_time(http: Server) -> None:
    http.broken["/000.tar"] = 2
    assert open_source(f"wds:{http.url}/000.tar").captions(3) == ("caption 3",)
    assert http.asked["/000.tar"] == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_a_server_that_stays_away_ends_the_run_in_one_line_and_makes_no_bad_pairs(
    http: Server, cache: Path, workers: int
) -> None:
    source = open_source(f"wds:{http.url}/{{000..005}}.tar")
    for copy in cache.glob("*.copy"):
        copy.unlink()
    http.broken["/004.tar"] = 1000
    with pytest.raises(RunError, match=r"^data http.*/004\.tar: cannot be fetched, tried 4 times.*--resume$") as caught:
        read(loader(source, workers))
    assert "\n" not in str(caught.value)


def test_a_half_sent_shard_is_never_taken_for_a_whole_one(http: Server, cache: Path) -> None:
    http.cut.add("/001.tar")
    with pytest.raises(RunError, match=r"001\.tar: cannot be fetched"):
        open_source(f"wds:{http.url}/{{000..001}}.tar")
    assert len(list(cache.glob("*.copy"))) <= 1
    assert not list(cache.glob("*.part"))
    http.cut.clear()
    assert open_source(f"wds:{http.url}/{{000..001}}.tar").captions(25) == ("caption 25",)


def test_a_cache_that_cannot_be_written_is_one_line_that_names_it(
    http: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = tmp_path / "file" / "safeclip" / "copies"
    with pytest.raises(RunError, match=rf"no local copy can be kept in {folder} \([^\n]*\); set XDG_CACHE_HOME to .*"):
        open_source(f"wds:{http.url}/000.tar")


def test_a_copy_that_is_not_ours_to_touch_is_one_line_too(http: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(f"wds:{http.url}/000.tar")

    def refuses(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(spool.os, "utime", refuses)
    with pytest.raises(RunError, match=r"copies \(Operation not permitted\); set XDG_CACHE_HOME"):
        source.fetch(np.array([0]))


def test_a_url_that_is_not_there_is_one_line(http: Server) -> None:
    with pytest.raises(InputError, match=r"^data http.*/nope\.tar: cannot be read .*check the address$"):
        open_source(f"wds:{http.url}/nope.tar")


def test_an_index_beside_the_shard_spares_fetching_it(http: Server, folder: Path) -> None:
    open_source(f"wds:{folder}")  # writes NAME.tar.index.npz beside each
    source = open_source(f"wds:{http.url}/{{000..005}}.tar")
    assert len(source) == PAIRS
    assert not [path for path in http.asked if path.endswith(".tar")]
    assert source.captions(44) == ("caption 44",)


def test_a_shard_that_changed_at_its_url_is_fetched_and_indexed_anew(folder: Path, monkeypatch) -> None:
    files = fsspec.filesystem("memory")
    plain = type(files).info
    monkeypatch.setattr(type(files), "info", lambda s, p, **k: plain(s, p, **k) | {"ETag": state["now"]})
    for state in ({"now": "a"}, {"now": "b"}):
        first = {"a": 0, "b": 500}[state["now"]]
        made = img2dataset_shard(folder / "x.tar", 100 + first, 3)  # of the same size
        files.pipe_file("/bucket/x.tar", made.read_bytes())
        assert open_source("memory://bucket/x.tar").captions(0) == (f"caption {100 + first}",)


def test_two_processes_fetch_a_shard_once(http: Server, cache: Path) -> None:
    source = open_source(f"wds:{http.url}/{{000..005}}.tar")
    for copy in cache.glob("*.copy"):
        copy.unlink()
    http.asked.clear()
    threads = [threading.Thread(target=source.captions, args=(uid,)) for uid in range(8)]
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            os._exit(source.captions(5) != ("caption 5",))
        children.append(child)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert http.asked["/000.tar"] == 1


def test_indices_at_a_url_are_read_without_pickle(http: Server, folder: Path) -> None:
    np.savez(folder / "000.tar.index.npz", mark=np.array([object()], object))
    assert open_source(f"wds:{http.url}/000.tar").captions(0) == ("caption 0",)
    assert tar_index.cache_folder().exists()


def shards_at_once(read_batches: list[tuple[list[int], list[int]]]) -> int:
    """The most shards that are in reach at a time."""
    seen = [{uid // PER_SHARD for uid in uids} for uids, _ in read_batches]
    spans = [[i for i, some in enumerate(seen) if shard in some] for shard in range(SHARDS)]
    return max(sum(span[0] <= i <= span[-1] for span in spans) for i in range(len(seen)))


def test_the_window_holds_for_shards_here_where_it_is_asked_for_and_at_a_url_by_itself(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = open_source(f"wds:{folder}"), open_source(address)
    assert shards_at_once(read(loader(near, shard_window=1))) <= 3
    assert shards_at_once(read(loader(near))) == SHARDS
    assert shards_at_once(read(loader(far, shard_window=0))) == SHARDS
    monkeypatch.setattr("safeclip.data.shard_order.WINDOW_AT_A_URL", 1)
    assert shards_at_once(read(loader(far))) <= 3


@pytest.mark.parametrize("change", [b"more", b""])
def test_a_shard_that_grows_or_shrinks_during_the_run_is_refused(change: bytes, folder: Path, cache: Path) -> None:
    files, data = fsspec.filesystem("memory"), (folder / "000.tar").read_bytes()
    files.pipe_file("/bucket/y.tar", data)
    source = open_source("memory://bucket/y.tar")
    for copy in cache.glob("*.copy"):
        copy.unlink()
    files.pipe_file("/bucket/y.tar", data + change if change else data[:-512])
    with pytest.raises(RunError, match="changed while in use"):
        source.captions(0)
    assert not list(cache.glob("*.copy"))
