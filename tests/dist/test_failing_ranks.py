"""A rank that fails or dies ends the run within seconds, on every rank, with one line that says so and no traceback."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safeclip.errors import RunError
from safeclip.run import RunDir
from safeclip.train import checkpoint
from tests import tiny
from tests.dist import ranks

pytestmark = pytest.mark.dist
SECONDS = 60
"""Of which the start takes most; a hang would take half an hour."""
EVERY_BATCH = {
    "checkpoint_minutes": 1e-6,
    "optim.batch_size": 41,
    "model.name": "safeclip-test-vit",
    "model.shard": True,
}


def at_step(number: int, act: ranks.Change) -> ranks.Change:
    """`act` takes the place of the step of that number, from 1."""
    from safeclip.train.step import Stepper

    return AtStep(Stepper, number, act)


class AtStep:
    def __init__(self, stepper: type, number: int, act: ranks.Change):
        self.stepper, self.number, self.act = stepper, number, act

    def __call__(self, rank: int) -> None:
        step, taken = self.stepper.__call__, 0

        def counted(*about: object) -> object:
            nonlocal taken
            taken += 1
            if taken == self.number:
                self.act(rank)
            return step(*about)

        self.stepper.__call__ = counted  # type: ignore[method-assign]


def kill_1(rank: int) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def kill_0(rank: int) -> None:
    if rank == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def kill_1_while_0_is_elsewhere(rank: int) -> None:
    kill_1(rank)
    time.sleep(10 * SECONDS)


def fail_1(rank: int) -> None:
    if rank == 1:
        raise RunError("the disk of rank 1 is gone")


def bug_in_1(rank: int) -> None:
    if rank == 1:
        raise KeyError("a bug")


def told_1_to_end(rank: int) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)


def lines(told: Path, world: int = 2) -> list[str]:
    """What the ranks said together; where rank 0 kept the ranks' store and is gone, torch warns of it, in C++."""
    said = "".join(ranks.said(told, rank) for rank in range(world))
    assert "Traceback" not in said
    return [line for line in said.splitlines() if line.startswith("safeclip:")]


@pytest.mark.parametrize(
    ("act", "codes", "says"),
    [
        (kill_1, [1, -signal.SIGKILL], "rank 1 of 2 is gone without a word"),
        (kill_0, [-signal.SIGKILL, 1], "rank 0 of 2 is gone without a word"),
        (kill_1_while_0_is_elsewhere, [1, -signal.SIGKILL], "rank 1 of 2 is gone without a word"),
        (fail_1, [1, 1], "rank 1: the disk of rank 1 is gone"),
    ],
)
def test_a_rank_that_ends_ends_the_run_with_one_line(
    act: ranks.Change, codes: list[int], says: str, tmp_path: Path
) -> None:
    arguments = tiny.arguments(tmp_path / "run", None, {"optim.batch_size": 41})
    assert ranks.run(2, arguments, tmp_path / "told", at_step(3, act), seconds=SECONDS) == codes
    said = lines(tmp_path / "told")
    assert len(said) == 1, said
    assert says in said[0]


def test_a_sigterm_to_one_rank_ends_all_after_the_step_with_their_state_saved(tmp_path: Path) -> None:
    arguments = tiny.arguments(tmp_path / "run", None, {"optim.batch_size": 41, "model.name": "safeclip-emoji"})
    codes = ranks.run(2, arguments, tmp_path / "told", at_step(3, told_1_to_end), seconds=SECONDS)
    assert codes == [1, 1]
    said = lines(tmp_path / "told")
    assert len(said) == 1, said
    assert "told to end (SIGTERM) in epoch 1 after batch 3 of 6" in said[0]
    newest = checkpoint.latest(RunDir(tmp_path / "run").checkpoints)
    assert newest is not None
    assert newest.name == "epoch-001-batch-000003"


def test_a_bug_in_one_rank_shows_its_traceback_and_ends_the_other(tmp_path: Path) -> None:
    arguments = tiny.arguments(tmp_path / "run", None, {"optim.batch_size": 41})
    assert ranks.run(2, arguments, tmp_path / "told", at_step(2, bug_in_1), seconds=SECONDS) == [1, 1]
    assert "KeyError: 'a bug'" in ranks.said(tmp_path / "told", 1)
    assert ranks.said(tmp_path / "told", 0) == ""


def test_an_error_that_all_ranks_have_is_said_once_by_the_first(tmp_path: Path) -> None:
    arguments = tiny.arguments(tmp_path / "run", None, {"optim.batch_size": 4100})
    assert ranks.run(2, arguments, tmp_path / "told", seconds=SECONDS) == [2, 2]
    assert "optim.batch_size = 4100" in ranks.said(tmp_path / "told", 0)
    assert len(lines(tmp_path / "told")) == 1
    assert not (tmp_path / "run").exists()


def test_ranks_of_different_settings_do_not_train(tmp_path: Path) -> None:
    arguments = tiny.arguments(tmp_path / "run")
    assert ranks.run(2, arguments, tmp_path / "told", other_seed_in_1, seconds=SECONDS) == [1, 1]
    assert lines(tmp_path / "told") == [
        "safeclip: ranks 1 have other settings or data than rank 0; give every rank the same, and the same versions"
    ]


def other_seed_in_1(rank: int) -> None:
    if rank == 1:
        from dataclasses import replace

        from safeclip import cli

        settings = cli.run_config
        cli.run_config = lambda options: replace(settings(options), seed=1)


def test_a_run_whose_rank_died_goes_on_with_another_number_of_ranks(planted: Path, tmp_path: Path) -> None:
    """Two ranks with sharded towers, killed in the warm-up; one process, killed; three ranks to the end."""
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert ranks.run(1, tiny.arguments(whole, planted, EVERY_BATCH), tmp_path / "told", ranks.in_double) == [0]
    codes = ranks.run(
        2, tiny.arguments(out, planted, EVERY_BATCH), tmp_path / "told", ranks.in_double, at_step(5, kill_1)
    )
    assert codes == [1, -signal.SIGKILL]
    newest = checkpoint.latest(RunDir(out).checkpoints)
    assert newest is not None
    assert newest.name == "epoch-001-batch-000004"
    resume = ["train", "--resume", "--out", str(out), "--quiet"]
    assert ranks.run(1, resume, tmp_path / "told", ranks.in_double, at_step(12, kill_0)) == [-signal.SIGKILL]
    assert ranks.run(3, resume, tmp_path / "told", ranks.in_double) == [0, 0, 0], ranks.said(tmp_path / "told", 0)
    assert ranks.differences(RunDir(whole), RunDir(out), "epoch-005") == []


IMPATIENT = 8
"""Seconds that these ranks wait in a collective."""


def impatient(rank: int) -> None:
    from safeclip.train.distributed import session

    session.PATIENCE = timedelta(seconds=IMPATIENT)


def slow_to_look(rank: int) -> None:
    """Rank 0's scores of the first veto, which it computes on its way to the split, take longer than ranks wait."""
    from safeclip.methods import vetoes

    veto = vetoes.SCORED["texture"]

    def slow(*about: Any) -> np.ndarray:
        time.sleep(1.5 * IMPATIENT)
        return veto.score(*about)

    vetoes.SCORED["texture"] = replace(veto, score=slow)


def slow_to_split(rank: int) -> None:
    from safeclip.methods import safeclip

    fit = safeclip.fit_mixture

    def slow(*about: Any) -> Any:
        time.sleep(1.5 * IMPATIENT)
        return fit(*about)

    safeclip.fit_mixture = slow


def slow_to_save(rank: int) -> None:
    from safeclip.train import checkpoint

    save = checkpoint.save

    def slow(*about: Any) -> None:
        if about[1] == "epoch-001":
            time.sleep(1.5 * IMPATIENT)
        save(*about)

    checkpoint.save = slow


@pytest.mark.parametrize(
    ("slow", "parts"), [(slow_to_look, 1), (slow_to_look, 2), (slow_to_split, 1), (slow_to_save, 1)]
)
def test_the_others_wait_for_what_rank_0_does_alone_however_long_it_takes(
    slow: ranks.Change, parts: int, tmp_path: Path
) -> None:
    changes = {"epochs": 3, "safeclip.veto": ["texture"], "optim.batch_size": 41, "model.name": "safeclip-emoji"}
    arguments = tiny.arguments(tmp_path / "run", None, changes | {"safeclip.look_pairs": 240 // parts})
    assert ranks.run(2, arguments, tmp_path / "told", impatient, slow) == [0, 0], lines(tmp_path / "told")
    assert len(RunDir(tmp_path / "run").splits()) == 1


def slow_to_check(rank: int) -> None:
    """Each rank says which files of a checkpoint it reads whole; rank 0 takes longer over one than ranks wait."""
    from safeclip.train import checkpoint

    digest = checkpoint._sha256

    def slow(file: Path) -> str:
        print(f"all of {file.name}", file=sys.stderr, flush=True)
        if rank == 0 and file.name == "state.safetensors":
            time.sleep(1.5 * IMPATIENT)
        return digest(file)

    checkpoint._sha256 = slow


def test_rank_0_alone_checks_the_checkpoint_that_all_go_on_from(tmp_path: Path) -> None:
    """Its state has a row for every pair, and the ranks of a machine would all read it from one disk."""
    out, told = tmp_path / "run", tmp_path / "told"
    assert ranks.run(1, tiny.arguments(out, None, {"epochs": 3, "model.name": "safeclip-emoji"}), told) == [0]
    resume = ["train", "--resume", "--out", str(out), "--quiet"]
    assert ranks.run(2, resume, told, impatient, slow_to_check) == [0, 0], lines(told)
    assert "all of state.safetensors" in ranks.said(told, 0)
    assert "all of state.safetensors" not in ranks.said(told, 1)
    newest = checkpoint.latest(RunDir(out).checkpoints)
    assert newest is not None
    (newest / "state.safetensors").write_bytes(b"torn")
    assert ranks.run(2, resume, told, slow_to_check) == [0, 0], lines(told)
    assert f"{newest}: " in ranks.said(told, 0)
    assert "going on from epoch-002" in ranks.said(told, 0)


def die_in_the_split(rank: int) -> None:
    from safeclip.methods import safeclip

    def die(*about: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    safeclip.fit_mixture = die


def fail_in_the_split(rank: int) -> None:
    from safeclip.methods import safeclip

    def fail(*about: Any) -> Any:
        raise RunError("no split can be made")

    safeclip.fit_mixture = fail


@pytest.mark.parametrize(
    ("act", "codes", "says"),
    [
        (die_in_the_split, [-signal.SIGKILL, 1], "rank 0 of 2 is gone without a word"),
        (fail_in_the_split, [1, 1], "no split can be made"),
    ],
)
def test_they_do_not_wait_for_a_rank_0_that_dies_or_fails_there(
    act: ranks.Change, codes: list[int], says: str, tmp_path: Path
) -> None:
    changes = {"epochs": 3, "safeclip.veto": [], "optim.batch_size": 41, "model.name": "safeclip-emoji"}
    arguments = tiny.arguments(tmp_path / "run", None, changes)
    assert ranks.run(2, arguments, tmp_path / "told", act, seconds=SECONDS) == codes
    said = lines(tmp_path / "told")
    assert len(said) == 1, said
    assert says in said[0]
