"""What is left of a bench, and about how long it will take, going by the runs that are done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safeclip.bench.grid import Cell
from safeclip.bench.measure import Record, begun
from safeclip.bench.records import Records


def seconds_of(record: Record) -> float:
    """All that a run took: planning, training, evaluation."""
    return float(record["seconds"]) + float(record["seconds_other"])


def estimate(cell: Cell, cells: Sequence[Cell], records: Records) -> float | None:
    """Seconds that a cell will take.

    The mean of the finished cells of its method; where there are none, its epochs at the pace of the slowest method
    that is known. None where nothing is known yet.
    """
    found = [(other, record) for other in cells if (record := records.of(other)) is not None]
    alike = [seconds_of(record) for other, record in found if other.method == cell.method]
    if alike:
        return sum(alike) / len(alike)
    paces = [seconds_of(record) / record["epochs"] for _, record in found]
    return cell.config.epochs * max(paces) if paces else None


def prospect(cells: Sequence[Cell], wanted: Sequence[Cell], records: Records, folder: Path) -> list[dict[str, Any]]:
    """One entry a wanted cell: what it is, where it stands, and the seconds that it took or will take."""
    entries = []
    for cell in wanted:
        record = records.of(cell)
        failure = records.failure(cell)
        state = "done" if record is not None else "half trained" if begun(cell, folder) else "to do"
        if record is None and failure is not None:
            state = f"failed: {failure}"
        seconds = estimate(cell, cells, records) if record is None else seconds_of(record)
        entries.append(
            {
                "id": cell.id,
                "seed": cell.seed,
                "attack": cell.group,
                "method": cell.method.title,
                "state": state,
                "done": record is not None,
                "seconds": seconds,
            }
        )
    return entries
