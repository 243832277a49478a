"""How many cores this process may use: those that the scheduler and the container's quota grant, and no more than
OMP_NUM_THREADS says where it is set."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that the scheduler and the container's quota grant, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return max(1, min(cores, round(quota))) if quota is not None else cores


def wanted_threads() -> int:
    """What OMP_NUM_THREADS says, where it is a number; else the usable cores."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(said)) if said.isdigit() else usable_cores()


def _quota() -> float | None:
    """The container's cores, from cgroup v2 or v1; None where there is no limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((CGROUP / name).read_text() for name in names).split()
        except (OSError, ValueError):
            continue
        return None if quota in ("max", "-1") else float(quota) / float(period)
    return None
