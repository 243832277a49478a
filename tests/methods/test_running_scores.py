"""Scores that steps leave behind: shared with data workers, and whole after a resume."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from safeclip.errors import InputError
from safeclip.methods.running_scores import RunningScores


def told(scores: RunningScores, uids: list[int], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    image, text = (torch.nn.functional.normalize(torch.randn(len(uids), 4, generator=random), dim=1) for _ in range(2))
    scores.update(np.array(uids), [image], [text])


def test_a_forked_process_sees_what_is_written_later_so_nothing_is_kept_twice() -> None:
    scores = RunningScores(6, 4, keep=True)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(int(bool(scores.cosine[2] != 0) and bool(scores.image[2].any())))
    told(scores, [2, 5], 0)
    assert scores.embeddings().cosine[2] != 0
    os.write(write, b"x")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1


def test_what_is_loaded_is_what_was_kept_and_is_written_on() -> None:
    one, other = (RunningScores(6, 4, keep=True) for _ in range(2))
    told(one, [0, 1, 3], 1)
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    for scores in (one, other):
        told(scores, [1, 4], 2)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_scores_that_compare_pairs_are_not_taken_from_a_run_that_kept_no_embeddings() -> None:
    kept, others = (RunningScores(6, 4, keep=keep) for keep in (True, False))
    for scores, state in ((kept, others.state_dict()), (others, kept.state_dict())):
        with pytest.raises(InputError, match=r"safeclip\.risk is not as the checkpoint has it; set config\.yaml back"):
            scores.load_state_dict(state)
