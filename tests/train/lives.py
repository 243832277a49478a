"""A training process that is killed, or told to end, while it lives: at a moment of its own CPU time, or at its n-th
touch of a file.

Each life is forked from a server that has torch imported and nothing more, so that it starts at once and fifty of them
fit in a bench. The moments are counted, not timed by the clock: a busy machine does not move them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["tests.train.warm"])
_TOUCHES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree", "shutil.copyfile"}


def live(
    arguments: list[str],
    told: Path,
    cpu: float | None = None,
    touch: int | None = None,
    number: int = signal.SIGKILL,
) -> int:
    """Run `safeclip ARGUMENTS` in a process of its own. Returns its exit code, the negative signal where it was killed.

    told: file that a life which reaches its end writes its CPU seconds and touches into. cpu: seconds of CPU time after
    which it gets the signal. touch: it gets the signal just before it touches files for this time. number: SIGKILL, or
    SIGTERM. What a life says goes to standard error, as ever.
    """
    process = _FORKED.Process(target=_life, args=(arguments, told, cpu, touch, number))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _life(arguments: list[str], told: Path, cpu: float | None, touch: int | None, number: int) -> None:
    touches, folder = 0, arguments[arguments.index("--out") + 1]

    def count(event: str, about: tuple[Any, ...]) -> None:
        nonlocal touches
        if event in _TOUCHES or (event == "open" and str(about[0]).startswith(folder)):
            touches += 1
            if touches == touch:
                os.kill(os.getpid(), number)

    def pass_on(alarm: int, frame: FrameType | None) -> None:
        os.kill(os.getpid(), number)

    if cpu is not None:  # where nobody handles SIGPROF it is like SIGKILL, and ends the process wherever it is
        signal.signal(signal.SIGPROF, signal.SIG_DFL if number == signal.SIGKILL else pass_on)
        signal.setitimer(signal.ITIMER_PROF, cpu)
    sys.addaudithook(count)
    import torch

    from safeclip.cli import main

    torch.set_num_threads(1)  # threads that wait for each other would count as CPU time

    code = main(arguments)
    signal.setitimer(signal.ITIMER_PROF, 0)
    told.write_text(json.dumps({"cpu": time.process_time(), "touches": touches}))
    sys.exit(code)
