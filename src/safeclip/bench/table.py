"""The table's numbers: every attack against every method, pooled over the seeds in which the attack planted.

    ASR = hits over all these seeds / pictures over all these seeds, Wilson's interval
    clean top-1 = mean over these seeds, least and greatest

What must stay true: a seed in which plain CLIP did not take the attack, or was not run, counts for no method; nothing
is pooled without its seeds being said; times are compared on one kind of machine and by one revision only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from safeclip.bench.measure import Record
from safeclip.bench.records import machine_name
from safeclip.bench.spec import BASELINE, NO_ATTACK, Spec, group_title
from safeclip.evaluate.wilson import wilson

MANY = 100
"""Pictures from which on a rate is told as a share and not as a count."""


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """One method under one attack.

    seeds: those pooled. k, n, ci95: hits among pictures over all of them; n = 0 without an attack. rates: ASR a
    seed. base_rate: mean over seeds, None where it is unknown. places: (place, classes) of the attacker's class
    among all, by its trigger's control, a seed; empty where one has none. top1: clean zero-shot top-1 a seed.
    in_safe, planted: pairs in the last safe set, None for a method without one. times: training time against plain
    CLIP's, a seed; those on one kind of machine and by one revision alone.
    """

    seeds: tuple[int, ...]
    k: int
    n: int
    ci95: tuple[float, float]
    rates: tuple[float, ...]
    base_rate: float | None
    places: tuple[tuple[int, int], ...]
    top1: tuple[float, ...]
    in_safe: int | None
    planted: int | None
    times: tuple[float, ...]

    @property
    def around(self) -> tuple[float, float]:
        """Wilson's interval; of many pictures in several seeds the least and the greatest seed, since each seed is
        tested on the same pictures, which are no n of their own."""
        return (min(self.rates), max(self.rates)) if self.n > MANY and len(self.rates) > 1 else self.ci95


@dataclass(frozen=True, kw_only=True)
class Row:
    """One attack. took: seeds in which it planted. missed: (seed, k, n) of plain CLIP in those in which it did not.
    waiting: seeds without plain CLIP. unmeasured: why it has no figure of plain CLIP, "" where it has. cells: by method
    label; None where no seed counts. group: with whom it was planted.
    """

    group: str
    attack: str
    kind: str
    took: tuple[int, ...]
    missed: tuple[tuple[int, int, int], ...]
    waiting: tuple[int, ...]
    unmeasured: str
    cells: dict[str, Pooled | None]


@dataclass(frozen=True, kw_only=True)
class Table:
    """methods: labels, plain CLIP first. failed: (title, reason). left: runs not done. records: all those behind it."""

    spec: Spec
    methods: tuple[str, ...]
    rows: tuple[Row, ...]
    failed: tuple[tuple[str, str], ...]
    left: int
    records: tuple[Record, ...]


def tabulate(spec: Spec, records: Sequence[Record], *, failed: Sequence[tuple[str, str]] = (), left: int = 0) -> Table:
    """records: of finished runs of `spec`. failed: title and reason of those that failed. left: runs not done."""
    methods = [method.title for method in spec.every_method()]
    by_place = {(record["group"], record["label"], record["seed"]): record for record in records}
    rows = []
    for attacks in spec.attacks:
        group = group_title(attacks)
        runs = {method: {s: r for s in spec.seeds if (r := by_place.get((group, method, s)))} for method in methods}
        rows += [_row(spec, group, attack.title, attack.name != NO_ATTACK, runs) for attack in attacks]
    return Table(
        spec=spec, methods=tuple(methods), rows=tuple(rows), failed=tuple(failed), left=left, records=tuple(records)
    )


def attack_in(record: Record, label: str) -> dict[str, Any] | None:
    """What a record says of the attack of that label."""
    return next((attack for attack in record["attacks"] if attack["label"] == label), None)


def planted_in(record: Record, label: str, least: float) -> bool:
    """Whether the attack took in this run, which is plain CLIP's."""
    found = attack_in(record, label)
    return found is not None and found["asr"] >= least


def in_safe(record: Record, label: str) -> tuple[int | None, int | None]:
    """Of the attack's planted pairs those in the last safe set, and all of them; None where there is no split."""
    last = record["splits"][-1] if record["splits"] else {}
    inside, planted = (last.get("planted_by_attack") or {}).get(label, (None, None))
    return inside, planted


def _timed_alike(one: Record, other: Record) -> bool:
    """Whether the clock says something of both: one kind of machine, one revision of the code."""
    return (machine_name(one), one["machine"].get("git")) == (machine_name(other), other["machine"].get("git"))


def seconds_whole(record: Record) -> float:
    """Seconds of training, with those of the run that it starts from."""
    return float(record["seconds"]) + float(record["seconds_before"])


def _row(spec: Spec, group: str, name: str, attacked: bool, runs: dict[str, dict[int, Record]]) -> Row:
    plain = runs[BASELINE]
    took = tuple(s for s in plain if not attacked or planted_in(plain[s], name, spec.plant_at_least))
    missed = [(seed, found) for seed in plain if seed not in took and (found := attack_in(plain[seed], name))]
    kinds = [found["kind"] for r in plain.values() if (found := attack_in(r, name))]
    return Row(
        group=group,
        attack=name,
        kind=kinds[0] if kinds else "",
        took=took,
        missed=tuple((seed, found["k"], found["n"]) for seed, found in missed),
        waiting=tuple(seed for seed in spec.seeds if seed not in plain),
        unmeasured=next((why for r in plain.values() if (why := r.get("unmeasured", {}).get(name))), ""),
        cells={
            m: _pooled(name, {s: r[s] for s in took if s in r}, {} if m == BASELINE else plain) for m, r in runs.items()
        },
    )


def _pooled(name: str, runs: dict[int, Record], plain: dict[int, Record]) -> Pooled | None:
    """plain: what the times are compared with."""
    if not runs:
        return None
    attacks = [found for record in runs.values() if (found := attack_in(record, name))]
    k, n = sum(a["k"] for a in attacks), sum(a["n"] for a in attacks)
    bases = [a["base_rate"] for a in attacks if a["base_rate"] is not None]
    controls = [a.get("control") for a in attacks]
    safe = [in_safe(record, name) for record in runs.values()]
    split = safe if all(inside is not None for inside, _ in safe) else []
    alike = [s for s in runs if s in plain and _timed_alike(runs[s], plain[s])]
    return Pooled(
        seeds=tuple(runs),
        k=k,
        n=n,
        ci95=wilson(k, n),
        rates=tuple(a["asr"] for a in attacks),
        base_rate=sum(bases) / len(bases) if bases else None,
        places=tuple((c["place"], c["classes"]) for c in controls if c) if all(controls) else (),
        top1=tuple(z["top1"] for record in runs.values() if (z := record["zero_shot"])),
        in_safe=sum(inside or 0 for inside, _ in split) if split else None,
        planted=sum(planted or 0 for _, planted in split) if split else None,
        times=tuple(seconds_whole(runs[s]) / seconds_whole(plain[s]) for s in alike),
    )
