"""How a run tells where it stands: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from safeclip.terminal import printable
from safeclip.train import distributed


class Bar:
    """Progress of one run. Closing it is required; use it as a context."""

    def __init__(self, title: str, stream: TextIO | None = None, quiet: bool = False, every_seconds: float = 15.0):
        self.stream, self.quiet, self.title, self.every = stream or sys.stderr, quiet, printable(title), every_seconds
        self.console = Console(file=self.stream)
        self.live: Progress | None = None
        if self.console.is_terminal and not quiet:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[tail]}", markup=False),
                TimeRemainingColumn(),
            )
            self.live = Progress(*columns, console=self.console, transient=True)
            self.task = self.live.add_task(self.title, total=1.0, tail="")
        self.began: tuple[float, float] | None = None
        self.spoke = 0.0

    def __enter__(self) -> Bar:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def begin(self, done: float) -> None:
        """The work itself begins, or goes on where a resumed run stood; what comes later is paced from the first."""
        self.began = self.began or (time.monotonic(), done)

    def at(self, done: float, tail: str) -> None:
        """done: share of the work, 0..1. tail: what to say of it."""
        now, tail = time.monotonic(), printable(tail)
        if self.live is not None:
            self.live.update(self.task, completed=done, tail=tail)
        elif not self.quiet and now - self.spoke >= self.every:
            self.spoke = now
            print(f"{self.title}  {done:4.0%}  {tail}{self._remaining(now, done)}", file=self.stream, flush=True)

    def _remaining(self, now: float, done: float) -> str:
        """At the pace since it began; nothing before another hundredth is done."""
        if self.began is None or done - self.began[1] <= 0.01:
            return ""
        since, before = self.began
        return f", {(now - since) * (1 - done) / (done - before):.0f} s left"


def warn(line: str) -> None:
    """Said even in a quiet run, by one process."""
    if distributed.first():
        print(f"safeclip: {printable(line)}", file=sys.stderr, flush=True)
