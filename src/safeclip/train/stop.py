"""SIGTERM, which schedulers send before they kill: training ends after the step in progress, its state saved.

What must stay true: the signal only leaves a mark. The loop looks at it between two steps, so no step is ever torn. A
mark is never taken back, whenever the signal comes; and ranks end by what they were all told, not by their own marks.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from safeclip.errors import Halted
from safeclip.train import distributed


class Stop:
    """Whether this process was told to end. Use it as a context; outside the main thread it hears nothing.

    agreed: whether all ranks know that one was, and so end here together.
    """

    def __init__(self) -> None:
        self.asked = self.agreed = False
        self.before: Any = None

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    def check(self, where: str) -> None:
        """Raises Halted if this process was told to end. where: what it has reached, for the reader."""
        if self.asked:
            raise Halted(f"told to end (SIGTERM) {where}")

    def agree(self, where: str) -> None:
        """Raises Halted on every rank if any was told to end; every rank calls it."""
        self.agreed = distributed.anywhere(self.asked)
        if self.agreed:
            raise Halted(f"told to end (SIGTERM) {where}")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
