"""How the processes that `torchrun` started meet and part: all together, whether the run ends or one fails."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from safeclip.errors import InputError, RunError, reason
from safeclip.terminal import printable
from safeclip.train.distributed.talk import first, rank
from safeclip.train.distributed.watch import Watch

PATIENCE = timedelta(minutes=30)
"""How long a rank waits in a collective for one that is alive but elsewhere: opening a large set can take one of them
that long. For what rank 0 does alone, `await_first` waits without end."""


@contextlib.contextmanager
def ranks() -> Iterator[None]:
    """Inside it, the processes that `torchrun` started are the ranks of one run. Alone, or inside another, nothing.

    An error leaves on every rank within seconds, and one of them says it: rank 0 where it has that error too. The
    others end with SystemExit. Raises InputError where the ranks cannot meet.
    """
    if not _started_as_rank() or dist.is_initialized():
        yield
        return
    watch = _meet()
    try:
        yield
    except (InputError, RunError) as error:
        if watch.speaks_of_failure():
            if first():
                raise
            print(f"safeclip: rank {rank()}: {printable(' '.join(str(error).split()))}", file=sys.stderr, flush=True)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from None
    except Exception:
        if not watch.notices_loss():  # ours, and unforeseen: with its traceback
            watch.speaks_of_failure()
            raise
        message = watch.account()
        if message is not None and first():
            raise RunError(message) from None
        if message is not None:
            print(f"safeclip: {message}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except BaseException:
        watch.speaks_of_failure()
        raise
    watch.finish()
    dist.destroy_process_group()


def device() -> torch.device:
    """Where this rank computes: one GPU each, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) if dist.is_initialized() else 0)


def _started_as_rank() -> bool:
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1


def _meet() -> Watch:
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", 0))
        if local >= torch.cuda.device_count():
            raise InputError(
                f"rank {os.environ['RANK']}: this machine has {torch.cuda.device_count()} GPUs; "
                "give torchrun --nproc-per-node at most that many"
            )
        torch.cuda.set_device(local)
    try:
        store, own, count = next(rendezvous("env://", timeout=timedelta(minutes=5)))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=PrefixStore("ranks", store),
            rank=own,
            world_size=count,
            timeout=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: the ranks cannot meet at "
            f"MASTER_ADDR = {os.environ.get('MASTER_ADDR')} ({reason(error)}); "
            "start them with torchrun (docs/many-gpus.md)"
        ) from None
    watch = Watch(PrefixStore("watch", store), PATIENCE)
    watch.start()
    return watch
