"""What a run says of itself: RUN/log.jsonl, and on request TensorBoard events of the same lines.

What must stay true: log.jsonl is the record and the events are a picture of it. They are drawn anew from its lines when
a run goes on, so that whatever a resumed run cuts back is gone from both.
"""

from __future__ import annotations

import shutil
from typing import Any

from safeclip.errors import InputError
from safeclip.run import RunDir, append_line, cut_back, length_of, read_lines


class Log:
    """tensorboard: write events to RUN/tensorboard too. Raises InputError where that package is missing."""

    def __init__(self, run: RunDir, tensorboard: bool):
        self.run, self.make_writer = run, _writer_class() if tensorboard else None
        self.writer: Any = None

    def begin(self, length: int) -> None:
        """Go on after the first `length` bytes of what is there."""
        cut_back(self.run.log_file, length)
        if self.make_writer is not None:
            shutil.rmtree(self.run.tensorboard, ignore_errors=True)
            self.writer = self.make_writer(str(self.run.tensorboard))
            for record in read_lines(self.run.log_file):
                self._draw(record)

    def add(self, record: dict[str, Any]) -> None:
        append_line(self.run.log_file, record)
        self._draw(record)

    def length(self) -> int:
        """Bytes so far."""
        return length_of(self.run.log_file)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _draw(self, record: dict[str, Any]) -> None:
        if self.writer is not None:
            for name, value in scalars(record).items():
                self.writer.add_scalar(name, value, record["step"])


class NoLog:
    """Of a rank that writes nothing."""

    def begin(self, length: int) -> None: ...

    def add(self, record: dict[str, Any]) -> None: ...

    def length(self) -> int:
        return 0

    def close(self) -> None: ...


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """What of a line can be drawn over the steps, by the name it gets."""
    if record["event"] == "step":
        own = {f"{name}/{record['objective']}": record[name] for name in ("loss", "rate")}
        return own | {"logit_scale": record["logit_scale"]}
    if record["event"] == "epoch":
        means = {f"epoch_loss/{name}": value for name, value in record["loss"].items()}
        return means | {"pairs_per_second": record["pairs_per_second"]}
    return {}


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "tensorboard = true: the package is not installed; pip install 'safeclip[tensorboard]', or leave it out"
        ) from None
    return SummaryWriter
