"""Pairs that cannot be used: counted, listed in RUN/bad_pairs.parquet with the reason, left out of the next plan.

A plan in progress keeps its batches: pairs found bad during an epoch leave at its end, so that a resumed epoch has the
same plan. What must stay true: the file holds all that a checkpoint holds. It is written with each, and at the end of
a scoring pass, not for each pair found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from safeclip.errors import RunError
from safeclip.run import replacing


def _told(reason: str) -> str:
    """A reason that can be written: it may name a file whose name is not UTF-8."""
    return reason.encode("utf-8", "backslashreplace").decode()


class BadPairs:
    """usable: bool (N,), the pairs to plan with. writes: whether the list is kept on disk; one rank does."""

    def __init__(self, file: Path, pairs: int, max_share: float, writes: bool = True):
        self.file, self.max_share, self.writes = file, max_share, writes
        self.usable = np.ones(pairs, bool)
        self.reasons: dict[int, str] = {}
        self.written = 0
        """How many of them the file lists."""

    def add(self, found: list[tuple[int, str]]) -> None:
        """Take note of (uid, reason). Raises RunError, all of them written, once more than `max_share` of the pairs
        are bad."""
        new = {uid: _told(reason) for uid, reason in found if uid not in self.reasons}
        if not new:
            return
        self.reasons |= new
        share = len(self.reasons) / len(self.usable)
        if share > self.max_share:
            self.write()
            uid, reason = next(iter(new.items()))
            raise RunError(
                f"{len(self.reasons)} of {len(self.usable)} pairs cannot be used, "
                f"more than data.max_bad_share = {self.max_share}; {self.file} lists them (uid {uid}: {reason})"
            )

    def settle(self) -> None:
        """Leave everything found so far out of the plans to come."""
        self.usable[list(self.reasons)] = False

    def state_dict(self) -> dict[str, Any]:
        return {"reasons": {str(k): v for k, v in self.reasons.items()}, "out": np.flatnonzero(~self.usable).tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reasons = {int(k): v for k, v in state["reasons"].items()}
        self.usable[:] = True
        self.usable[state["out"]] = False
        self.written = 0
        self.write()
        if self.writes and not self.reasons:
            self.file.unlink(missing_ok=True)

    def write(self) -> None:
        """List what is known by now, where the file does not yet."""
        if not self.writes or len(self.reasons) == self.written:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = sorted(self.reasons.items())
        table = pa.table({"uid": pa.array([u for u, _ in rows], pa.int64()), "reason": [r for _, r in rows]})
        with replacing(self.file) as beside:
            pq.write_table(table, beside)
        self.written = len(rows)
