"""A run's state on disk, whole or not at all.

    checkpoints/epoch-007/  model.safetensors   the towers, in open_clip's form
                            state.safetensors   moments, pools, masks, generator state
                            state.json          epoch, step, counters, lengths of the growing files
    checkpoints/latest      the name of the newest whole one

A checkpoint is written into a folder beside and renamed; `latest` is replaced after that. No pickle is written or read.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from safeclip.errors import InputError

_OPTIMIZER = "optimizer."


def save(
    folder: Path, name: str, net: nn.Module, tensors: dict[str, Tensor], values: dict[str, Any], keep: int
) -> None:
    """Write checkpoint `name` under `folder` and forget all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{name}.part"
    for torn in folder.glob(".*.part"):  # of a run that was killed
        shutil.rmtree(torn) if torn.is_dir() else torn.unlink()
    beside.mkdir()
    save_file(_separate(net.state_dict()), beside / "model.safetensors")
    save_file(_separate(tensors), beside / "state.safetensors")
    (beside / "state.json").write_text(json.dumps(values, indent=1, allow_nan=False), encoding="utf-8")
    for file in beside.iterdir():
        _sync(file)
    final = folder / name
    shutil.rmtree(final, ignore_errors=True)
    os.replace(beside, final)
    latest = folder / ".latest.part"
    latest.write_text(name + "\n", encoding="utf-8")
    _sync(latest)
    os.replace(latest, folder / "latest")
    _sync(folder)
    whole = sorted(
        (p for p in folder.iterdir() if (p / "state.json").is_file() and not p.name.startswith(".")), key=_age
    )
    for old in whole[:-keep]:
        if old.name != name:
            gone = folder / f".{old.name}.part"
            os.replace(old, gone)  # a half-deleted folder must not pass for a checkpoint
            shutil.rmtree(gone)


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint, None where the run has none yet. Raises InputError where `latest` names nothing."""
    pointer = folder / "latest"
    if not pointer.is_file():
        return None
    name = pointer.read_text(encoding="utf-8").strip()
    path = folder / name
    if Path(name).name != name or not (path / "state.json").is_file():
        raise InputError(
            f"{pointer}: names {name!r}, which is no whole checkpoint; write the name of another one into it"
        )
    return path


def load(path: Path, net: nn.Module, belongs_to: dict[str, str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The towers in place; returns the other tensors and the values.

    belongs_to: what the values have to say under that name. Raises InputError on a torn checkpoint and another run's.
    """
    try:
        values = json.loads((path / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(path / "state.safetensors")
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(
            f"{path}: checkpoint not readable ({_line(error)}); name an older one in checkpoints/latest"
        ) from None
    for name, wanted in belongs_to.items():
        found = values.get("belongs_to", {}).get(name)
        if found != wanted:
            raise InputError(
                f"{path}: belongs to another run, its {name} is {found}, this one's {wanted}; "
                "put this run's own checkpoint back, or start anew with another --out"
            )
    load_towers(path / "model.safetensors", net)
    return tensors, values


def load_towers(file: Path, net: nn.Module) -> None:
    """model.safetensors into `net`. Raises InputError where it does not fit."""
    try:
        net.load_state_dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{file}: not readable ({_line(error)}); name an older checkpoint in checkpoints/latest"
        ) from None
    except RuntimeError as error:
        raise InputError(
            f"{file}: does not fit this model ({_line(error)}); it belongs to another run or architecture"
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
            ordered = torch.empty_like(p, dtype=value.dtype).copy_(value) if value.shape == p.shape else value
            state.setdefault(int(number), {})[key] = ordered
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors refuses shared and strided memory. On the CPU, in row order."""
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


def _age(path: Path) -> tuple[int, int]:
    values = json.loads((path / "state.json").read_text(encoding="utf-8"))
    return int(values["epoch"]), int(values["next_batch"])


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
