"""Shards in S3 and in Google's store, through their own drivers, from servers that speak their protocols.

pip install -e '.[test,stores]' && pytest -m stores
"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from safeclip.cli import main
from safeclip.data.pairs import Shards
from safeclip.data.sources import open_source
from safeclip.errors import InputError
from safeclip.run import RunDir
from tests import tiny
from tests.data.made import img2dataset_shard, jpeg
from tests.data.test_remote_shards import PER_SHARD, SHARDS, cache, folder, loader, read

__all__ = ["cache", "folder"]  # fixtures
pytestmark = pytest.mark.stores


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of its own; the address of the server as users of MinIO, R2 or Ceph give it."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
    yield "s3://bucket"
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    server.stop()


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("gcsfs")
    server = pytest.importorskip("gcp_storage_emulator.server").create_server(
        "127.0.0.1", 0, in_memory=True, default_bucket="bucket"
    )
    logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)
    server.start()
    port = server._api._httpd.socket.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    yield "gs://bucket"
    server.stop()


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Iterator[str]:
    protocol = request.param
    url = request.getfixturevalue(protocol)
    kinds = fsspec.get_filesystem_class(protocol)
    kinds.clear_instance_cache()  # one that knows this server
    yield url
    kinds.clear_instance_cache()


def upload(folder: Path, bucket: str, pattern: str = "*.tar") -> None:
    files, _ = fsspec.core.url_to_fs(bucket)
    for file in sorted(folder.glob(pattern)):
        files.pipe_file(f"{bucket}/{file.name}", file.read_bytes())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_that_of_the_files_here_whole_and_resumable(bucket: str, folder: Path, workers: int) -> None:
    upload(folder, bucket)
    source = open_source(f"wds:{bucket}/{{000..005}}.tar")
    assert isinstance(source, Shards)
    assert source.remote
    assert len(source) == SHARDS * PER_SHARD
    assert source[21].image == jpeg(21)
    far = read(loader(source, workers, shard_window=2))
    assert far == read(loader(open_source(f"wds:{folder}"), 0, shard_window=2))
    assert read(loader(source, workers, shard_window=2), start=7) == far[7:]


def test_a_star_names_what_the_bucket_lists_and_a_missing_shard_is_one_line(bucket: str, folder: Path) -> None:
    upload(folder, bucket)
    assert len(open_source(f"wds:{bucket}/*.tar")) == SHARDS * PER_SHARD
    with pytest.raises(InputError, match=rf"data {bucket}/006\.tar: [^\n]*$"):
        open_source(f"wds:{bucket}/{{000..006}}.tar")
    with pytest.raises(InputError, match=r"^data [^\n]*$"):
        open_source("wds:" + bucket.replace("bucket", "nobucket") + "/000.tar")


def test_a_shard_that_was_replaced_is_not_read_from_its_old_copy(bucket: str, folder: Path) -> None:
    upload(folder, bucket)
    assert open_source(f"wds:{bucket}/000.tar")[0].image == jpeg(0)
    img2dataset_shard(folder / "000.tar", 500, PER_SHARD)
    upload(folder, bucket, "000.tar")
    fsspec.get_filesystem_class(bucket.partition(":")[0]).clear_instance_cache()  # as in a new process
    source = open_source(f"wds:{bucket}/000.tar")
    assert source[0].image == jpeg(500)
    assert source.captions(0) == ("caption 500",)


def test_training_from_a_bucket(bucket: str, folder: Path, tmp_path: Path) -> None:
    upload(folder, bucket)
    changes = {"epochs": 3, "optim.batch_size": 40, "evaluate": False, "data.spec": f"wds:{bucket}/*.tar"}
    assert main(tiny.arguments(tmp_path / "run", None, changes)) == 0
    epochs = [line for line in RunDir(tmp_path / "run").log() if line["event"] == "epoch"]
    assert [line["pairs"] for line in epochs] == [SHARDS * PER_SHARD] * 3
    assert not RunDir(tmp_path / "run").bad_pairs_file.exists()
