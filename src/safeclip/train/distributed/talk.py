"""What ranks tell each other, on the CPU and in JSON: how many there are, what one of them decides, what each found."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from safeclip.errors import RunError

T = TypeVar("T")
_AS_LONG_AS_IT_TAKES = timedelta(days=365)


def world() -> int:
    """Ranks of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def first() -> bool:
    """Whether this is the rank that writes and speaks."""
    return rank() == 0


def joined(items: list[T]) -> list[T]:
    """The lists of all ranks one after the other, on every rank. items: of JSON values."""
    if world() == 1:
        return items
    payload = torch.frombuffer(bytearray(json.dumps(items).encode()), dtype=torch.uint8)
    size = torch.tensor([len(payload) if items else 0])
    sizes = [torch.empty_like(size) for _ in range(world())]
    dist.all_gather(sizes, size)
    longest = max(int(s) for s in sizes)
    if longest == 0:  # nearly always, and then it costs no more than this
        return []
    mine = torch.zeros(longest, dtype=torch.uint8)
    mine[: len(payload)] = payload[:longest]
    parts = [torch.empty_like(mine) for _ in range(world())]
    dist.all_gather(parts, mine)
    texts = [bytes(part[: int(s)].numpy()) for part, s in zip(parts, sizes, strict=True) if int(s)]
    return [_as_tuple(item) for text in texts for item in json.loads(text)]


def await_first() -> None:
    """Wait until rank 0 comes here too, however long its own work takes: the ranks' patience ends collectives, not
    this. That rank 0 fails or dies meanwhile, the watch notices (watch.py)."""
    word = torch.zeros(1)
    if first():
        for other in range(1, world()):
            dist.send(word, other)
    else:
        pending = dist.irecv(word, src=0)
        assert pending is not None
        pending.wait(_AS_LONG_AS_IT_TAKES)


def of_first(value: T) -> T:
    """Rank 0's value, on every rank. value: a JSON one."""
    if world() == 1:
        return value
    return joined([value])[0]


def tensors_of_first(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rank 0's tensors by name, on every rank; what the others give is not looked at."""
    if world() == 1:
        return tensors
    about = of_first([[name, str(t.dtype).removeprefix("torch."), *t.shape] for name, t in tensors.items()])
    held = {name: torch.empty(shape, dtype=getattr(torch, kind)) for name, kind, *shape in about}
    for name, empty in held.items():
        if first():
            empty.copy_(tensors[name])
        dist.broadcast(empty, src=0)
    return held


def anywhere(flag: bool) -> bool:
    """Whether any rank says so."""
    if world() == 1:
        return flag
    some = torch.tensor([int(flag)])
    dist.all_reduce(some, op=dist.ReduceOp.MAX)
    return bool(some)


def agree(what: str, value: str) -> None:
    """Raises RunError where a rank has another value than rank 0: ranks that do different things train nothing."""
    values = joined([value])
    others = [str(r) for r, theirs in enumerate(values) if theirs != values[0]]
    if world() > 1 and others:
        raise RunError(
            f"ranks {', '.join(others)} have {what} than rank 0; give every rank the same, and the same versions"
        )


def add_up(tensor: Tensor) -> Tensor:
    """Sum over the ranks, in place. Of rows that only one rank has filled, the others' zero: all rows."""
    if world() > 1:
        dist.all_reduce(tensor)
    return tensor


def _as_tuple(value: Any) -> Any:
    """JSON has no tuples; rows of a list go back to being some."""
    return tuple(value) if isinstance(value, list) else value
