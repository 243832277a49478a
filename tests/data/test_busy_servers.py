"""A server that is busy, slow or silent while a set is opened and its shards are fetched."""

from __future__ import annotations

import fcntl
import multiprocessing
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from safeclip.data.sources import ask_again, open_source, paths, spool
from safeclip.errors import InputError

from .made import img2dataset_shard


class Server(ThreadingHTTPServer):
    """busy: to how many requests more it answers 503."""

    daemon_threads, busy = True, 0

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), partial(_Answer, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answer(SimpleHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        if not self._refused():
            super().do_HEAD()

    def do_GET(self) -> None:
        if not self._refused():
            super().do_GET()

    def _refused(self) -> bool:
        self.server.busy -= 1
        if self.server.busy >= 0:
            self.send_error(503)
        return self.server.busy >= 0

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(spool, "_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(ask_again, "WAIT_SECONDS", 0.01)
    img2dataset_shard(tmp_path / "shards" / "000.tar", 0, 20)
    server = Server(tmp_path / "shards")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("requests", [1, 2, 3, 6])
def test_one_that_is_busy_while_the_set_is_opened_costs_nothing_but_time(http: Server, requests: int) -> None:
    http.busy = requests
    assert open_source(f"wds:{http.url}/000.tar").captions(3) == ("caption 3",)


def test_one_that_stays_busy_is_one_line_and_what_is_not_there_is_said_at_once(
    http: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(ask_again.time, "sleep", waits.append)
    with pytest.raises(InputError, match=r"^data http.*/nope\.tar: cannot be read"):
        open_source(f"wds:{http.url}/nope.tar")
    assert waits == []
    http.busy = 1000
    with pytest.raises(InputError, match=r"^data http.*/000\.tar: cannot be read"):
        open_source(f"wds:{http.url}/000.tar")
    assert waits == [0.01, 0.02, 0.04]


def test_a_shard_may_take_as_long_as_it_takes_but_not_fall_silent(http: Server) -> None:
    files, inside = paths._driver(f"{http.url}/000.tar")
    files.info(inside)
    assert files._session.timeout.total is None
    assert files._session.timeout.sock_read == 60


def test_what_the_user_tells_fsspec_of_a_server_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setitem(fsspec.config.conf, "https", {"client_kwargs": {"headers": {"Authorization": "given"}}})
    told = paths._options("https://example.org/000.tar")["client_kwargs"]
    assert told["headers"] == {"Authorization": "given"}
    assert told["timeout"].total is None
    assert paths._options("s3://bucket/000.tar") == {}


def test_workers_forked_while_a_shard_is_fetched_do_not_keep_its_lock(tmp_path: Path) -> None:
    copies, place = spool.Spool(tmp_path, {}, 2**20), tmp_path / "x.copy"
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    with copies._alone(place):
        worker.start()
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    worker.kill()
    worker.join()
