"""A run's state on disk, whole or not at all.

    checkpoints/epoch-007/  model.safetensors   the towers, in open_clip's form
                            state.safetensors   moments, pools, masks, generator state
                            state.json          epoch, step, counters, lengths of the growing files
                            SHA256SUMS          of the three, as `sha256sum --check` reads it
    checkpoints/latest      the name of the newest one

What must stay true: a checkpoint is written into a folder beside, flushed to the disk and renamed, and `latest` is
replaced after that, so that neither a kill nor a full disk costs the one before. One that is no longer as it was
written is never gone on from; the newest whole one before it is. A run holds nothing of a file that it has read, and
an old checkpoint that cannot be deleted ends no run. No pickle is written or read.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from safeclip.errors import InputError, RunError, reason
from safeclip.run import latest_name, replacing, sync, writing
from safeclip.train.distributed.sharded import laid_out_as

_OPTIMIZER = "optimizer."
_FILES = ("model.safetensors", "state.safetensors", "state.json")
_SUMS = "SHA256SUMS"
_NAME = re.compile(r"epoch-(\d+)(?:-batch-(\d+))?")


def save(
    folder: Path, name: str, weights: dict[str, Tensor], tensors: dict[str, Tensor], values: dict[str, Any], keep: int
) -> None:
    """Write checkpoint `name` under `folder` and forget all but the newest `keep`; those that cannot be deleted are
    tried again at the next. Raises RunError, on a full disk for instance, and leaves the checkpoint before as it was.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    beside = _unused(folder, name)
    try:
        _write(beside, weights, tensors, values)
        _remove(folder / name)
        os.replace(beside, folder / name)
        sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise RunError(
            f"{folder / name}: checkpoint cannot be written ({reason(error)}); make room, and "
            f"`safeclip train --resume` goes on from the one before ({latest_name(folder) or 'none yet'})"
        ) from None
    with replacing(folder / "latest") as file:
        file.write_text(name + "\n", encoding="utf-8")
    for old in [path for path in _by_age(folder) if _age(path) <= _age(folder / name)][keep:]:
        with contextlib.suppress(OSError):
            _remove(old)


def latest(folder: Path) -> Path | None:
    """The checkpoint that `latest` names, None where the run has none yet. Raises InputError where it names nothing."""
    name = latest_name(folder)
    if name is None:
        return None
    if Path(name).name != name or not (folder / name / "state.json").is_file():
        raise InputError(
            f"{folder / 'latest'}: names {name!r}, which is no whole checkpoint; write the name of another one into it"
        )
    return folder / name


def newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """The checkpoint to go on from, None where the run has none yet, and a line on each newer one that is damaged.

    The one that `latest` names, else the newest before it whose files are as they were written. Raises InputError where
    there are checkpoints and not one is whole.
    """
    named = latest_name(folder) or ""
    found = _by_age(folder) if folder.is_dir() else []
    if _NAME.fullmatch(named):
        found = [folder / named] + [path for path in found if _age(path) < _age(folder / named)]
    elif named:
        found = [folder / Path(named).name, *found]
    faults: list[str] = []
    for path in found:
        fault = _fault(path)
        if fault is None:
            return path, [f"{line}; going on from {path.name}" for line in faults]
        faults.append(f"{path}: {fault}")
    if faults:
        raise InputError(f"{faults[0]}; no whole checkpoint is left before it: put one back, or start anew")
    return None, []


def load(
    path: Path, net: nn.Module, belongs_to: dict[str, str], empty: tuple[str, ...] = ()
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The towers in place; returns the other tensors and the values.

    belongs_to: what the values have to say under that name, if they name it: older ones know fewer names. empty:
    tensors whose names begin so are not read; an empty one stands for each. Raises InputError on a torn checkpoint and
    another run's.
    """
    try:
        values = json.loads((path / "state.json").read_text(encoding="utf-8"))
        with safe_open(path / "state.safetensors", "pt") as file:
            # as it is read, a tensor is a map of the file, which NFS then does not let go of
            tensors = {
                name: torch.empty(0) if name.startswith(empty) else file.get_tensor(name).clone()
                for name in file.keys()  # noqa: SIM118 (no iterator)
            }
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(
            f"{path}: checkpoint not readable ({reason(error)}); name an older one in checkpoints/latest"
        ) from None
    for name, wanted in belongs_to.items():
        found = values.get("belongs_to", {}).get(name, wanted)
        if found != wanted:
            raise InputError(
                f"{path}: belongs to another run, its {name} is {found}, this one's {wanted}; "
                "set config.yaml back, put this run's own checkpoint back, or start anew with another --out"
            )
    load_towers(path / "model.safetensors", net)
    return tensors, values


def load_towers(file: Path, net: nn.Module) -> None:
    """model.safetensors into `net`. Raises InputError where it does not fit, or is not as SHA256SUMS beside it says."""
    try:
        if (file.parent / _SUMS).is_file() and file.name in _changed(file.parent, (file.name,)):
            raise InputError(f"{file}: damaged, not as {_SUMS} says; name an older checkpoint")
        net.load_state_dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{file}: not readable ({reason(error)}); name an older checkpoint in checkpoints/latest"
        ) from None
    except RuntimeError as error:
        raise InputError(
            f"{file}: does not fit this model ({reason(error)}); it belongs to another run or architecture"
        ) from None


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as flat tensors, by parameter number."""
    state = optimizer.state_dict()["state"]
    return {
        f"{_OPTIMIZER}{i}.{key}": torch.as_tensor(value) for i, slots in state.items() for key, value in slots.items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put `pack_optimizer`'s tensors back, in the memory order of their parameters: fused AdamW goes by memory, not
    by index, and a moment in another order than its parameter's would move the wrong weights."""
    whole = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMIZER):
            _, number, key = name.split(".", 2)
            p = parameters[int(number)]
            value = laid_out_as(value, p)
            ordered = torch.empty_like(p, dtype=value.dtype).copy_(value) if value.shape == p.shape else value
            state.setdefault(int(number), {})[key] = ordered
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def _write(beside: Path, weights: dict[str, Tensor], tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    beside.mkdir()
    save_file(_separate(weights), beside / "model.safetensors")
    save_file(_separate(tensors), beside / "state.safetensors")
    (beside / "state.json").write_text(json.dumps(values, indent=1, allow_nan=False), encoding="utf-8")
    sums = "".join(f"{_sha256(beside / name)}  {name}\n" for name in _FILES)
    (beside / _SUMS).write_text(sums, encoding="utf-8")
    for name in (*_FILES, _SUMS):
        sync(beside / name)
    sync(beside)


def _remove(path: Path) -> None:
    """Renamed first: a half-deleted folder must not pass for a checkpoint."""
    if path.exists():
        gone = _unused(path.parent, f"{path.name}.old")
        os.replace(path, gone)
        shutil.rmtree(gone, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """What a killed run left half written, and what could not be deleted before."""
    for torn in folder.glob(".*.part"):
        if torn.is_dir():
            shutil.rmtree(torn, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                torn.unlink()


def _unused(folder: Path, stem: str) -> Path:
    """A name that is no checkpoint's, and not of anything that is still there."""
    paths = (folder / f".{stem}{number or ''}.part" for number in itertools.count())
    return next(path for path in paths if not path.exists())


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint's files, None where they are as they were written."""
    missing = [name for name in (*_FILES, _SUMS) if not (path / name).is_file()]
    if missing:
        return f"no whole checkpoint, {', '.join(missing)} missing"
    try:
        changed = _changed(path, _FILES)
    except (OSError, ValueError) as error:
        return f"checkpoint not readable ({reason(error)})"
    return f"checkpoint is damaged, {', '.join(changed)} not as {_SUMS} says" if changed else None


def _changed(path: Path, names: Iterable[str]) -> list[str]:
    """Those of the files that are not as SHA256SUMS says."""
    lines = (path / _SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    return [name for name in names if sums.get(name) != _sha256(path / name)]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while part := handle.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors refuses shared and strided memory. On the CPU, in row order; what is so already, where it lies."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, t in tensors.items():
        t = t.detach().cpu().contiguous()
        place = t.untyped_storage().data_ptr()
        found[name] = t.clone() if place in taken else t
        taken.add(place)
    return found


def _by_age(folder: Path) -> list[Path]:
    """The run's checkpoints by their names, newest first; folders that someone else put there are not among them."""
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=_age, reverse=True)


def _age(path: Path) -> tuple[int, float]:
    """(epoch, batches into it); an epoch's end comes after all of its batches."""
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found.group(1)), float("inf") if found.group(2) is None else int(found.group(2))
