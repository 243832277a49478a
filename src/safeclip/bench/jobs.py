"""Several runs of a bench at once: processes that each take the next run that nobody has claimed (claims.py).

Small models keep one core busy and leave the others waiting, so that two runs side by side, a thread each, take little
longer than one run with two threads.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path

from safeclip.bench.runner import Bench
from safeclip.bench.spec import Spec
from safeclip.cores import usable_cores
from safeclip.errors import InputError, RunError
from safeclip.terminal import printable
from safeclip.train.stop import Stop

_THREADS = "OMP_NUM_THREADS"
_LOOK = 0.5
"""Seconds between looks at whether this process was told to end, and its jobs with it."""


def run_at_once(
    jobs: int,
    spec: Spec,
    folder: Path,
    results: Path | None,
    only: dict[str, list[str]],
    deadline: float | None,
    quiet: bool,
) -> None:
    """Do what is left of a bench in so many processes, which share the cores. Told to end, they all are. Raises
    RunError where one gave up."""
    context = multiprocessing.get_context("spawn")  # a fork would carry this process's threads along
    arguments = (spec, folder, results, only, deadline, quiet)
    processes = [context.Process(target=_work, args=arguments, name=f"job {i + 1}") for i in range(jobs)]
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = before or str(max(1, usable_cores() // jobs))
    try:
        for process in processes:
            process.start()
        with Stop() as stop:
            while any(process.is_alive() for process in processes):
                stop.check("while runs were done; the same command goes on where they stood")
                time.sleep(_LOOK)
    except KeyboardInterrupt:
        raise RunError("stopped; the same command goes on where it stood") from None
    finally:
        if before is None:
            del os.environ[_THREADS]
        for process in processes:
            if process.is_alive():
                process.terminate()  # told to end, it leaves a checkpoint to go on from
                process.join()
    ended = [process for process in processes if process.exitcode]
    if ended:
        raise RunError(f"{ended[0].name} of {jobs} ended early; the same command goes on where it stood")


def check_jobs(jobs: int) -> None:
    if not 1 <= jobs <= 256:
        raise InputError(f"--jobs {jobs}: give 1 to 256")


def _work(
    spec: Spec, folder: Path, results: Path | None, only: dict[str, list[str]], deadline: float | None, quiet: bool
) -> None:
    try:
        Bench.open(spec, folder, results).run(only, deadline=deadline, quiet=quiet)
    except (InputError, RunError) as error:
        print(f"safeclip: {printable(str(error))}", file=sys.stderr, flush=True)
        sys.exit(1)
