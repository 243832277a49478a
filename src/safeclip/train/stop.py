"""SIGTERM, which schedulers send before they kill: training ends after the step in progress, its state saved.

What must stay true: the signal only leaves a mark. The loop looks at it between two steps, so no step is ever torn.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from safeclip.errors import Halted


class Stop:
    """Whether this process was told to end. Use it as a context; outside the main thread it hears nothing."""

    def __init__(self) -> None:
        self.asked = False
        self.before: Any = None

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    def check(self, where: str) -> None:
        """Raises Halted if the process was told to end. where: what it has reached, for the reader."""
        if self.asked:
            raise Halted(f"told to end (SIGTERM) {where}")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
