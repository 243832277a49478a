"""Do a bench: each run that is left, in the grid's order, until all are done, one does not fit, or someone stops it.

    DIR/records/  runs/  manifests/             see records.py and measure.py
    DIR/summary.json  table.md  report.html     written anew after every run

What must stay true: stopped at any moment, the same command goes on; no run is done by two processes at once
(claims.py); one run that fails is recorded and the others go on, and an attack that cannot be planted fails before the
first; a checkpoint is deleted only when no unfinished run starts from it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeclip.bench.claims import alone, claim
from safeclip.bench.cost import estimate, prospect
from safeclip.bench.grid import Cell, grid
from safeclip.bench.measure import measure, plant, run_folder, weights_of
from safeclip.bench.page import write_page
from safeclip.bench.records import Records
from safeclip.bench.selection import select
from safeclip.bench.spec import Spec
from safeclip.bench.summary import summary
from safeclip.bench.table import tabulate
from safeclip.bench.wording import markdown
from safeclip.errors import Halted, InputError, RunError
from safeclip.report.words import duration
from safeclip.run import write_json, write_text
from safeclip.terminal import printable

_PATIENCE = 1.0
"""Seconds between looks at a run that another process is doing."""


@dataclass(frozen=True)
class Bench:
    """A bench in its folder. results: file that finished runs are merged into, and in which those are looked for."""

    spec: Spec
    folder: Path
    cells: list[Cell]
    records: Records

    @classmethod
    def open(cls, spec: Spec, out: str | os.PathLike[str], results: str | os.PathLike[str] | None = None) -> Bench:
        """Raises InputError where spec, data or earlier records cannot be used, or where `out` holds another bench."""
        folder = Path(out)
        earlier = _name_of(folder / "summary.json")
        if earlier not in (None, spec.name):
            raise InputError(f"{folder}: holds the bench {earlier!r}; give {spec.name} another --out")
        return cls(spec, folder, grid(spec), Records(folder / "records", None if results is None else Path(results)))

    def prospect(self, only: dict[str, list[str]]) -> list[dict[str, Any]]:
        """What `run` would do: an entry a run. Raises InputError."""
        return prospect(self.cells, select(self.cells, only), self.records, self.folder)

    def run(self, only: dict[str, list[str]], *, deadline: float | None = None, quiet: bool = False) -> dict[str, Any]:
        """Do what is left and return summary.json's content.

        only: see `select`. deadline: time.monotonic() by which the last run should have ended.
        Raises InputError before anything is done; RunError where the user stops it.
        """
        wanted = select(self.cells, only)
        left = remaining(wanted, self.records, self.folder)
        failed_before = {cell for cell in left if self.records.failure(cell)}
        self._sweep()
        try:
            left = self._planned(left, quiet)
            while left:
                waiting = []  # for runs that another process does: to see them done, or to do them should it end
                for number, cell in enumerate(left, 1):
                    with claim(self.folder, cell.id) as mine:
                        if not mine or self._lent_soon(cell):
                            waiting.append(cell)
                            continue
                        self.records.read()
                        failed = self.records.failure(cell) is not None and cell not in failed_before
                        if failed or cell not in remaining(wanted, self.records, self.folder):
                            continue  # another process did it
                        seconds = estimate(cell, self.cells, self.records)
                        if deadline is not None and time.monotonic() + (seconds or 0.0) > deadline:
                            _say(f"stopped before {cell.title}: it would not fit; the same command goes on", quiet)
                            return self.write()
                        about = "" if seconds is None else f", about {duration(seconds)}"
                        _say(f"{self.spec.name}: run {number} of {len(left)} left: {cell.title}{about}", quiet)
                        self._try(cell, quiet)
                    self._sweep()
                    self.write()
                left = waiting
                if left:
                    time.sleep(_PATIENCE)
        except KeyboardInterrupt:
            raise RunError("stopped; the same command goes on where it stood") from None
        return self.write()

    def _planned(self, left: Sequence[Cell], quiet: bool) -> list[Cell]:
        """Those whose attacks can be planted. The others fail now, and not after hours of runs before them."""
        planned = []
        if any(cell.attacks for cell in left):
            _say(f"{self.spec.name}: planning what is planted in {len(left)} runs", quiet)
        for cell in left:
            try:
                plant(cell, self.folder)
                planned.append(cell)
            except Halted:
                raise
            except Exception as error:
                self._failed(cell, error, quiet)
        return planned

    def write(self) -> dict[str, Any]:
        """summary.json, table.md, report.html and the results file, from the records so far, those of other processes
        among them; returns the summary."""
        with alone(self.folder):
            return self._write()

    def _write(self) -> dict[str, Any]:
        self.records.read()
        found = {cell: record for cell in self.cells if (record := self.records.of(cell)) is not None}
        failed = {cell: why for cell in self.cells if (why := self.records.failure(cell)) and cell not in found}
        done = [found[cell] for cell in self.cells if cell in found]
        reasons = [(cell.title, failed[cell]) for cell in self.cells if cell in failed]
        table = tabulate(self.spec, done, failed=reasons, left=len(self.cells) - len(done))
        result = summary(self.spec, self.cells, found, failed)
        self.records.publish(self.spec, found.values())
        write_json(self.folder / "summary.json", result)
        write_text(self.folder / "table.md", markdown(table) + "\n")
        write_page(self.folder / "report.html", table)
        return result

    def _lent_soon(self, cell: Cell) -> bool:
        """Whether another process is doing the run that this one starts from."""
        if cell.start is None or weights_of(cell.start, self.folder) is not None:
            return False
        with claim(self.folder, cell.start.id) as free:
            return not free

    def _try(self, cell: Cell, quiet: bool) -> None:
        """Do one run and keep its record, or the reason why there is none."""
        before = None if cell.start is None else self.records.of(cell.start)
        try:
            if cell.start is not None and (before is None or weights_of(cell.start, self.folder) is None):
                why = self.records.failure(cell.start) or "not done"
                raise RunError(f"starts from {cell.start.method.title}, whose run failed: {why}")
            self.records.keep(cell, measure(cell, self.folder, before=before, quiet=quiet))
        except Halted:  # told to end, or the data is gone for the next runs too
            raise
        except Exception as error:  # hours of runs must not end with the first that fails, whatever the reason
            self._failed(cell, error, quiet)

    def _failed(self, cell: Cell, error: Exception, quiet: bool) -> None:
        """Keep why a run failed; called where the error is handled."""
        line = " ".join(str(error).split())
        reason = line if isinstance(error, (InputError, RunError)) else f"{type(error).__name__}: {line}"
        self.records.fail(cell, reason, traceback.format_exc())
        _say(f"failed: {cell.title}: {reason}", quiet)

    def _sweep(self) -> None:
        """Delete the checkpoints of finished runs that no unfinished run starts from."""
        if self.spec.keep_runs:
            return
        with alone(self.folder):
            self.records.read()
            self._sweep_finished()

    def _sweep_finished(self) -> None:
        undone = [cell for cell in self.cells if self.records.of(cell) is None]
        needed = {*undone, *(lender for cell in undone for lender in cell.ancestors())}
        for cell in self.cells:
            path = run_folder(cell, self.folder) / "checkpoints"
            gone = path.with_name("checkpoints.gone")
            if cell not in needed and path.is_dir():
                os.replace(path, gone)  # half deleted, it must not pass for a checkpoint
            if gone.is_dir():
                shutil.rmtree(gone)


def remaining(wanted: Sequence[Cell], records: Records, folder: Path) -> list[Cell]:
    """Cells without a record, and finished ones whose weights one of these starts from and which are gone."""
    again: set[Cell] = set()
    for cell in wanted:
        if records.of(cell) is None:
            again.add(cell)
            for lender in cell.ancestors():
                if weights_of(lender, folder) is not None and records.of(lender) is not None:
                    break
                again.add(lender)
    return [cell for cell in wanted if cell in again]


def _name_of(file: Path) -> str | None:
    """Name of the bench that a summary.json belongs to; None where there is none."""
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{file}: not readable; delete it, it is written anew") from None
    return str(found.get("name", "without a name")) if isinstance(found, dict) else "without a name"


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        print(printable(line), file=sys.stderr, flush=True)
