"""W ranks are one process: losses, pools, scores, split and weights after more than 20 steps, in double precision."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from safeclip.config import VETOES
from safeclip.data.sources import open_source
from safeclip.run import RunDir
from tests import tiny
from tests.dist import ranks

GENTLE = {"epochs": 4, "optim.batch_size": 41}
"""More than 20 steps: of 240 pairs, five batches of 21 + 20 pairs and a last one of 18 + 17."""
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "running scores, a look in parts, batch norm": (
        2,
        {"safeclip.veto": [*VETOES], "safeclip.look_pairs": 100, "model.name": "safeclip-test-rn"},
    ),
    "fresh scores, in parts": (
        2,
        {"safeclip.scoring": "fresh", "model.name": "safeclip-test-vit", "optim.accumulate": 3, "views.clip_count": 2},
    ),
    "a tower that rests": (
        2,
        {"method": "roclip", "roclip.pool_size": 60, "model.name": "safeclip-test-vit", "views.clip_count": 2},
    ),
    "sharded towers": (
        2,
        {"model.shard": True, "model.name": "safeclip-test-vit", "safeclip.scoring": "fresh", "optim.accumulate": 2},
    ),
    "shards, two at a time, and unreadable pairs": (2, {"data.shard_window": 2, "model.name": "safeclip-test-vit"}),
    "unreadable pairs, and fewer pairs than ranks": (3, {"optim.batch_size": 34, "model.name": "safeclip-test-vit"}),
}


@pytest.mark.dist
@pytest.mark.parametrize("case", CASES)
def test_ranks_train_as_one_process_does(case: str, planted: Path, tmp_path: Path) -> None:
    world, settings = CASES[case]
    manifest: Path | None = planted
    if "shards" in case:
        settings, manifest = settings | {"data.spec": f"wds:{shards(tmp_path / 'shards')}"}, None
    runs = []
    for count in (1, world):
        out = tmp_path / f"run-{count}"
        arguments = tiny.arguments(out, manifest, GENTLE | settings)
        told = tmp_path / f"told-{count}"
        changes = [ranks.in_double, *[without_some] * ("unreadable" in case)]
        assert ranks.run(count, arguments, told, *changes) == [0] * count, ranks.said(told, 0)
        runs.append(RunDir(out))
    one, many = runs
    last = "epoch-004"
    assert ranks.differences(one, many, last) == []
    assert [run.bad_pairs_file.exists() for run in runs] == ["unreadable" in case] * 2
    losses = [[line["loss"] for line in run.log() if line["event"] == "epoch"] for run in runs]
    for left, right in zip(*losses, strict=True):
        assert left == pytest.approx(right, rel=1e-6)


@pytest.mark.dist
@pytest.mark.parametrize("method", ["safeclip", "filter"])
def test_rank_0_alone_decides_which_pairs_are_safe(method: str, planted: Path, tmp_path: Path) -> None:
    own = {"method": method, "model.name": "safeclip-test-vit", "filter.look_epochs": 1, "safeclip.veto": [*VETOES]}
    arguments = tiny.arguments(tmp_path / "run", planted, GENTLE | own)
    assert ranks.run(2, arguments, tmp_path, ranks.in_double, decides_nothing) == [0, 0], ranks.said(tmp_path, 0)
    run = RunDir(tmp_path / "run")
    assert len(run.splits()) == (1 if method == "filter" else 2)
    assert all(0 < split["safe_count"] < 240 for split in run.splits())


def decides_nothing(rank: int) -> None:
    """What other ranks would find is of no use, and costs them nothing."""
    from safeclip.methods import filter, safeclip, vetoes

    def refuse(*about: Any, **more: Any) -> Any:
        raise AssertionError(f"rank {rank} decides for itself")

    if rank:
        filter.least_outlying = safeclip.fit_mixture = safeclip.RunningScores = refuse  # type: ignore
        vetoes.copy_groups = vetoes.judge = refuse  # type: ignore
        vetoes.SCORED.update({name: replace(veto, score=refuse) for name, veto in vetoes.SCORED.items()})


@pytest.mark.dist
@pytest.mark.parametrize("world", [2, 3])
def test_rank_0_gets_every_rank_s_rows_chunk_by_chunk_and_the_others_keep_none(world: int, tmp_path: Path) -> None:
    """Of clean data: of planted copies, which are equally near, rounding chooses the neighbours."""
    settings = {"safeclip.scoring": "fresh", "safeclip.veto": [*VETOES], "model.name": "safeclip-test-vit"}
    runs = []
    for count in (1, world):
        arguments = tiny.arguments(tmp_path / f"run-{count}", None, GENTLE | settings)
        told = tmp_path / f"told-{count}"
        changes = [ranks.in_double, without_some, in_small_chunks]
        assert ranks.run(count, arguments, told, *changes) == [0] * count, ranks.said(told, world - 1)
        runs.append(RunDir(tmp_path / f"run-{count}"))
    assert ranks.differences(*runs, "epoch-004") == []


def in_small_chunks(rank: int) -> None:
    """Several a rank, the last one short; what a pass leaves with the others is looked at."""
    from safeclip.train import scoring

    scoring._AT_ONCE, scoring._TOLD_AT_ONCE = 8, 70

    def seen(made: Any) -> Any:
        held = vars(made).values() if not isinstance(made, np.ndarray) else [made]
        assert not rank or not any(map(len, held)), f"rank {rank} keeps rows"
        return made

    for name in ("embed_all", "hash_all", "glance"):
        made = getattr(scoring, name)
        setattr(scoring, name, lambda *about, made=made: seen(made(*about)))


def shards(folder: Path) -> Path:
    """The tiny pairs in tar shards of 24."""
    source = open_source(tiny.SPEC)
    folder.mkdir()
    for number in range(len(source) // 24):
        with tarfile.open(folder / f"{number:03d}.tar", "w") as tar:
            for uid in range(24 * number, 24 * (number + 1)):
                pair = source[uid]
                picture = io.BytesIO()
                Image.fromarray(pair.image).save(picture, "PNG")
                for ending, data in (("png", picture.getvalue()), ("txt", pair.captions[0].encode())):
                    member = tarfile.TarInfo(f"{uid:06d}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder


def without_some(rank: int) -> None:
    """Three pairs that no rank can read."""
    from safeclip.data.pairs import BadPair
    from safeclip.data.read import Reader

    read = Reader.read

    def failing(self: Reader, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
        if uid in (5, 77, 130):
            raise BadPair("made unreadable")
        return read(self, uid)

    Reader.read = failing  # type: ignore[method-assign]
