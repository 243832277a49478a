"""A checkpoint is whole or it is not taken; neither a full disk nor a power cut costs the one before."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from safeclip.errors import InputError, RunError
from safeclip.run import RunDir
from safeclip.train import checkpoint, loop
from safeclip.train.loop import train
from safeclip.train.step import Stepper
from tests import tiny

FILES = ("model.safetensors", "state.safetensors", "state.json", "SHA256SUMS")


def save(folder: Path, epoch: int, keep: int = 9, net: nn.Module | None = None) -> Path:
    name = f"epoch-{epoch:03d}"
    checkpoint.save(
        folder, name, (net or nn.Linear(2, 2)).state_dict(), {"x": torch.ones(3)}, {"epoch": epoch + 1}, keep
    )
    return folder / name


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for epoch in (1, 2, 3):
        save(tmp_path / "checkpoints", epoch)
    return tmp_path / "checkpoints"


def test_only_as_many_checkpoints_are_kept_as_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for epoch in range(1, 6):
        assert checkpoint.latest(folder) == (None if epoch == 1 else folder / f"epoch-{epoch - 1:03d}")
        assert checkpoint.newest_whole(folder) == (checkpoint.latest(folder), [])
        save(folder, epoch, keep=2)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-004", "epoch-005", "latest"]


@pytest.mark.parametrize("what", ["the folder", "its name"])
def test_an_old_checkpoint_that_cannot_be_deleted_ends_no_run_and_is_tried_again(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = tmp_path / "checkpoints", os.replace
    busy = OSError(errno.ENOTEMPTY, "Directory not empty")

    def rmtree(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise busy

    def replace(source: Path, target: Path) -> None:
        if Path(target).name.endswith(".old.part"):
            raise busy
        rename(source, target)

    save(folder, 1, keep=1)
    with monkeypatch.context() as lost:
        lost.setattr(shutil, "rmtree", rmtree) if what == "the folder" else lost.setattr(os, "replace", replace)
        for epoch in (2, 3) if what == "its name" else (2, 2, 2):  # the third time, its name to be deleted is taken
            save(folder, epoch, keep=1)
    assert checkpoint.newest_whole(folder)[0] == folder / f"epoch-{epoch:03d}"
    assert len(list(folder.rglob("state.json"))) == (3 if what == "its name" else 4), "nothing was deleted"
    save(folder, 4, keep=1)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-004", "latest"]


def test_what_lies_in_row_order_on_the_cpu_is_written_from_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running scores may take half of the memory."""
    scores, image = torch.rand(6, 4), torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    tensors = {"scores": scores, "again": scores, "part": scores[1:3], "turned": scores.T, "image": image}
    tensors |= {"none": torch.zeros(0, 4), "neither": torch.zeros(0, 4), "one": torch.tensor(1.0)}
    given: dict[str, torch.Tensor] = {}
    write = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", lambda some, file: (given.update(some), write(some, file)))
    checkpoint.save(tmp_path, "epoch-001", nn.Linear(2, 2).state_dict(), tensors, {}, 1)
    assert given["scores"].data_ptr() == scores.data_ptr()
    loaded, _ = checkpoint.load(tmp_path / "epoch-001", nn.Linear(2, 2), {})
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], t) for name, t in tensors.items())


def test_what_one_rank_needs_alone_the_others_do_not_read(tmp_path: Path) -> None:
    tensors = {"method.running.image": torch.rand(9, 4), "method.pool": torch.rand(3)}
    checkpoint.save(tmp_path, "epoch-001", nn.Linear(2, 2).state_dict(), tensors, {}, 1)
    loaded, _ = checkpoint.load(tmp_path / "epoch-001", nn.Linear(2, 2), {}, ("method.running.", "method.veto."))
    assert loaded["method.running.image"].numel() == 0
    assert torch.equal(loaded["method.pool"], tensors["method.pool"])


def test_what_is_loaded_holds_nothing_of_the_file(three: Path) -> None:
    tensors, _ = checkpoint.load(three / "epoch-003", nn.Linear(2, 2), {})
    held = Path("/proc/self/maps").read_text()
    assert str(three / "epoch-003") not in held
    assert torch.equal(tensors["x"], torch.ones(3))


def test_a_checkpoint_inside_an_epoch_is_older_than_the_epochs_end(three: Path) -> None:
    for name in ("epoch-003-batch-000009", "epoch-003-batch-000010"):
        (three / "epoch-002").rename(three / name)
        save(three, 2)
    (three / "epoch-003/state.json").unlink()
    (three / "latest").write_text("epoch-003\n")
    found, lines = checkpoint.newest_whole(three)
    assert found == three / "epoch-003-batch-000010"
    assert lines == [
        f"{three}/epoch-003: no whole checkpoint, state.json missing; going on from epoch-003-batch-000010"
    ]


def test_sha256sum_reads_the_checksums(three: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=three / "epoch-003", check=True)


@pytest.mark.parametrize("how", ["cut", "one bit", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_is_found_and_the_one_before_is_taken(name: str, how: str, three: Path) -> None:
    file = three / "epoch-003" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"cut": file.read_bytes()[:-1], "one bit": bytes(content), "gone": b""}[how])
    if how == "gone":
        file.unlink()
    if (name, how) == ("SHA256SUMS", "cut"):
        assert checkpoint.newest_whole(three) == (three / "epoch-003", []), "all but its last line end is there"
        return
    found, lines = checkpoint.newest_whole(three)
    assert found == three / "epoch-002"
    assert len(lines) == 1
    assert lines[0].startswith(f"{three}/epoch-003: ")
    assert lines[0].endswith("going on from epoch-002")


@pytest.mark.parametrize("named", ["", "epoch-777", "../../elsewhere", "\0\xff", "gone"])
def test_a_pointer_that_names_nothing_leaves_the_newest_whole_one(named: str, three: Path) -> None:
    (three / "latest").write_text(named)
    found, lines = checkpoint.newest_whole(three)
    assert found == three / "epoch-003"
    assert len(lines) == (named != "")


def test_a_pointer_set_back_by_hand_is_obeyed(three: Path) -> None:
    (three / "latest").write_text("epoch-001")
    assert checkpoint.newest_whole(three) == (three / "epoch-001", [])


def test_where_none_is_whole_that_is_bad_input(three: Path) -> None:
    for path in three.glob("*/state.json"):
        path.write_text("{}")
    with pytest.raises(
        InputError, match=r"epoch-003: checkpoint is damaged, state\.json .*no whole checkpoint is left"
    ):
        checkpoint.newest_whole(three)


def test_damaged_towers_are_not_evaluated_either(three: Path) -> None:
    net = nn.Linear(2, 2)
    file = three / "epoch-003/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged, not as SHA256SUMS says"):
        checkpoint.load_towers(file, net)
    (three / "epoch-003/SHA256SUMS").unlink()
    checkpoint.load_towers(file, net)  # a copy of the towers alone, or of an earlier version


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, not contents, are what a power cut may lose: folders are flushed too."""
    done: list[str] = []
    whole, put = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        whole(handle)

    def replace(source: Path, target: Path) -> None:
        done.append(f"{Path(source).name} -> {Path(target).name}")
        put(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    save(tmp_path / "checkpoints", 1)
    beside = ".epoch-001.part"
    assert done == [
        *FILES, beside, f"{beside} -> epoch-001", "checkpoints",
        "latest.part", "latest.part -> latest", "checkpoints",
    ]  # fmt: skip


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow past 20 kB: the kernel refuses the write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_costs_no_older_checkpoint(three: Path, small_disk: None) -> None:
    with pytest.raises(
        RunError, match=r"epoch-004: checkpoint cannot be written \(.*File too large.*\(epoch-003\)"
    ) as error:
        save(three, 4, net=nn.Linear(100, 100))
    assert "\n" not in str(error.value)
    assert checkpoint.newest_whole(three) == (three / "epoch-003", [])
    assert not list(three.glob(".*")), "what was half written makes room"


def test_a_training_on_a_full_disk_ends_with_one_line(
    tmp_path: Path, small_disk: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.train(tmp_path / "run", changes={"method": "clip", "epochs": 1}) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert "make room" in errors


def test_a_log_that_cannot_grow_ends_the_training_with_one_line(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.log_file.symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"log\.jsonl: cannot be written \(No space left on device\)") as error:
        train(tiny.config({"method": "clip", "epochs": 1}), run.path, quiet=True)
    assert "\n" not in str(error.value)


def test_one_that_takes_longer_than_their_distance_leaves_time_for_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, steps, saved = [0.0], [], []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    step = Stepper.__call__

    def second(self: Stepper, *given: Any) -> Any:
        now[0] += 1
        steps.append(1)
        return step(self, *given)

    def minutes(folder: Path, name: str, *given: Any) -> None:
        now[0] += 600
        saved.append(len(steps))

    monkeypatch.setattr(Stepper, "__call__", second)
    monkeypatch.setattr(checkpoint, "save", minutes)
    train(tiny.config({"method": "clip", "epochs": 1, "checkpoint_minutes": 0.04}), tmp_path / "run", quiet=True)
    assert saved == [3, 6]
