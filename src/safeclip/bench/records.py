"""Finished runs: one file each, and the results file that is committed.

    DIR/records/<id>.json     the record of a run
    DIR/records/<id>.failed.json   why its last try failed
    FILE                      {"spec": [...], "machines": [...], "records": [...]}, a record a line
    beside FILE, bench-*.json results of other benches, which lend the runs that this one has in common with them

What must stay true: all are replaced whole; a run found in any is not done again, and of two records of one run the
newest counts; a try that fails takes no record away; in FILE there is one record for each run of a bench's spec that is
done, and none of runs that a changed spec no longer has.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safeclip.bench.claims import alone_beside
from safeclip.bench.grid import Cell
from safeclip.bench.measure import Record
from safeclip.bench.spec import Spec
from safeclip.bench.spec_file import published
from safeclip.errors import InputError
from safeclip.run import write_json, write_text

_PLACE = ("bench", "group", "label", "seed")
_READ = ("attacks", "detection", "machine", "method", "retrieval", "seconds", "settings", "splits", "zero_shot")
"""Parts without which no table can be made of a record."""


class Records:
    """folder: DIR/records. results: FILE, None without one. Raises InputError where one of them cannot be read."""

    def __init__(self, folder: Path, results: Path | None):
        self.folder, self.results = folder, results
        self.own: dict[str, Record] = {}
        self.failures: dict[str, str] = {}
        self.specs: list[dict[str, Any]] = []
        self.published: list[Record] = []
        beside = results.parent.glob("bench-*.json") if results is not None else ()
        others = sorted(file for file in beside if file != results)
        self.lent: list[Record] = []
        for file in others:
            with contextlib.suppress(InputError):  # nobody named it, so it may be anything
                self.lent += _read_results(file)[1]
        self.read()

    def read(self) -> None:
        """Read both anew: another process may have added to them."""
        found = {}
        for file in sorted(self.folder.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):  # a failure that another job has mended since
                found[file.stem] = _read(file)
        self.own = {name: record for name, record in found.items() if "failed" not in record}
        self.failures = {record["id"]: record["failed"] for record in found.values() if "failed" in record}
        if self.results is not None and self.results.is_file():
            self.specs, self.published = _read_results(self.results)

    def of(self, cell: Cell) -> Record | None:
        """The record of the cell's finished run, under the labels that it has now; None where it is still to do."""
        every = [
            record
            for record in (*self.own.values(), *self.published, *self.lent)
            if (record["method"], record["seed"]) == (cell.config.method, cell.seed) and cell.made(record["shape"])
        ]
        if not every:
            return None
        newest = max(every, key=lambda record: str(record.get("date", "")))
        return newest | {"bench": cell.bench, "group": cell.group, "label": cell.method.title}

    def failure(self, cell: Cell) -> str | None:
        """Why its last try failed; None where it did not, or has not been tried."""
        return self.failures.get(cell.id)

    def keep(self, cell: Cell, record: Record) -> None:
        file = self.folder / f"{cell.id}.json"
        write_json(file, record)
        self.own[cell.id] = _read(file)
        self.failures.pop(cell.id, None)
        self._failed(cell).unlink(missing_ok=True)

    def fail(self, cell: Cell, reason: str, trace: str) -> None:
        about = {"id": cell.id, "title": cell.title, "failed": reason, "trace": trace}
        write_json(self._failed(cell), about)
        self.failures[cell.id] = reason

    def _failed(self, cell: Cell) -> Path:
        return self.folder / f"{cell.id}.failed.json"

    def publish(self, spec: Spec, finished: Iterable[Record]) -> None:
        """Put the finished runs of `spec` into the results file, in place of all that it held of this bench. finished:
        the record that `of` finds for each of its cells, here or in that file, so that what goes is a record of no run
        of the spec as it is now. Raises InputError where that would be every one.
        """
        if self.results is None:
            return
        finished = list(finished)
        with alone_beside(self.results):
            if self.results.is_file():  # benches in other folders have added to it
                self.specs, self.published = _read_results(self.results)
            self.specs = [other for other in self.specs if other["name"] != spec.name] + [published(spec)]
            others = [record for record in self.published if record["bench"] != spec.name]
            if not finished and len(others) < len(self.published):
                raise InputError(
                    f"{self.results}: none of its {len(self.published) - len(others)} runs of {spec.name} is one of "
                    "these settings and data; give another file with --results, or delete it"
                )
            self.published = sorted([*others, *finished], key=_order)
            write_text(self.results, _text(self.specs, self.published))


def machine_name(record: Record) -> str:
    """Kind of machine that a run was done on, for the reader and for telling times apart."""
    about = record["machine"]
    return f"{about.get('gpu') or about['cpu']}, {about['cores']} cores, torch {about['versions']['torch']}"


def _order(record: Record) -> tuple[str, int, str, str]:
    return str(record["bench"]), int(record["seed"]), str(record["group"]), str(record["label"])


def _text(specs: list[dict[str, Any]], records: list[Record]) -> str:
    machines = json.dumps(list(dict.fromkeys(map(machine_name, records))), ensure_ascii=False)
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False, sort_keys=True) for record in records]
    spec = ",\n".join(json.dumps(each, ensure_ascii=False, sort_keys=True) for each in specs)
    body = ",\n".join(lines)
    return f'{{"spec": [\n{spec}\n],\n"machines": {machines},\n"records": [\n{body}\n]}}\n'


def _read(file: Path) -> Record:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: not readable ({type(error).__name__}); delete it to do that run anew") from None
    if not (_whole(record) or _of_failure(record)):
        raise InputError(f"{file}: is no record of a bench; delete it to do that run anew")
    return dict(record)


def _of_failure(record: Any) -> bool:
    return isinstance(record, dict) and all(isinstance(record.get(name), str) for name in ("id", "failed"))


def _whole(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("shape"), dict) and {*_PLACE, *_READ} <= record.keys()


def _read_results(file: Path) -> tuple[list[dict[str, Any]], list[Record]]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: not readable ({type(error).__name__}); restore it, or give another file") from None
    if not isinstance(values, dict) or not all(isinstance(values.get(name), list) for name in ("spec", "records")):
        raise InputError(f"{file}: holds no results of a bench (spec, machines, records); give another file")
    if not all(isinstance(spec, dict) and "name" in spec for spec in values["spec"]):
        raise InputError(f"{file}: a spec has no name; restore the file, or give another")
    if not all(map(_whole, values["records"])):
        raise InputError(f"{file}: a record lacks its shape, its place or a part; restore the file, or give another")
    return values["spec"], values["records"]
