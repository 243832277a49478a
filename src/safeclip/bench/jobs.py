"""Several runs of a bench at once: processes that each take the next run that nobody has claimed (claims.py).

Small models keep one core busy and leave the others waiting, so that two runs side by side, a thread each, take little
longer than one run with two threads.
"""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from safeclip.bench.runner import Bench
from safeclip.bench.spec import Spec
from safeclip.errors import InputError, RunError
from safeclip.model.threads import usable_cores

_THREADS = "OMP_NUM_THREADS"


def run_at_once(
    jobs: int,
    spec: Spec,
    folder: Path,
    results: Path | None,
    only: dict[str, list[str]],
    deadline: float | None,
    quiet: bool,
) -> None:
    """Do what is left of a bench in so many processes, which share the cores. Raises RunError where one gave up."""
    context = multiprocessing.get_context("spawn")  # a fork would carry this process's threads along
    arguments = (spec, folder, results, only, deadline, quiet)
    processes = [context.Process(target=_work, args=arguments, name=f"job {i + 1}") for i in range(jobs)]
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = before or str(max(1, usable_cores() // jobs))
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
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
    import sys

    try:
        Bench.open(spec, folder, results).run(only, deadline=deadline, quiet=quiet)
    except (InputError, RunError) as error:
        print(f"safeclip: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
