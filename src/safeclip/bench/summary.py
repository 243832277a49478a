"""DIR/summary.json: one entry a run and attack, and what a reader asks of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safeclip.bench.cost import seconds_of
from safeclip.bench.grid import Cell
from safeclip.bench.measure import Record
from safeclip.bench.records import machine_name
from safeclip.bench.spec import NO_ATTACK, Spec
from safeclip.bench.spec_file import published
from safeclip.bench.table import in_safe, planted_in
from safeclip.run import machine


def summary(
    spec: Spec, cells: Sequence[Cell], records: Mapping[Cell, Record], failed: Mapping[Cell, str]
) -> dict[str, Any]:
    """`seconds` is all that the runs took; `machine` the one that wrote the summary."""
    done = [(cell, records[cell]) for cell in cells if cell in records]
    plain = {(cell.group, cell.seed): record for cell, record in done if cell.baseline}
    runs = [
        entry for cell, record in done for entry in _entries(spec, cell, record, plain.get((cell.group, cell.seed)))
    ]
    first = done[0][1] if done else None
    return {
        "name": spec.name,
        "seconds": sum(seconds_of(record) for _, record in done),
        "machine": machine(),
        "machines": list(dict.fromkeys(machine_name(record) for _, record in done)),
        "dataset": _dataset(first),
        "plant_at_least": spec.plant_at_least,
        "spec": published(spec),
        "runs": runs,
        "failed": [{"run": cell.title, "reason": failed[cell]} for cell in cells if cell in failed],
        "left": len(cells) - len(done),
    }


def _dataset(record: Record | None) -> dict[str, Any]:
    """Of plain CLIP's record, which is the first: what it trained on is what was poisoned."""
    if record is None:
        return {}
    data = record["data"]
    return {"spec": data["spec"], "train_pairs": record["trained_on"][1], "eval": data}


def _entries(spec: Spec, cell: Cell, record: Record, plain: Record | None) -> list[dict[str, Any]]:
    """One an attack of the run; one, without success, for a run without an attack."""
    zero = record["zero_shot"] or {}
    retrieval = record["retrieval"] or {}
    entries = []
    for attack in record["attacks"] or [{}]:
        label = attack.get("label", NO_ATTACK)
        inside, planted = in_safe(record, label)
        took = planted_in(plain, label, spec.plant_at_least) if plain is not None and attack else None
        entries.append(
            {
                "id": record["id"],
                "method": record["method"],
                "label": record["label"],
                "attack": attack.get("name", NO_ATTACK),
                "attack_label": label,
                "group": cell.group,
                "seed": record["seed"],
                "epochs": record["epochs"],
                "seconds": record["seconds"],
                "seconds_before": record["seconds_before"],
                "pairs_per_second": record["pairs_per_second"],
                "zero_shot_top1": zero.get("top1"),
                "zero_shot_top5": zero.get("top5"),
                "zero_shot_n": zero.get("n"),
                "zero_shot_ci95": zero.get("ci95"),
                "retrieval_mean_r5": retrieval.get("mean_r5"),
                "kind": attack.get("kind"),
                "asr": attack.get("asr"),
                "k": attack.get("k"),
                "asr_n": attack.get("n"),
                "asr_ci95": attack.get("ci95"),
                "base_rate": attack.get("base_rate"),
                "control": attack.get("control"),
                "target_class": attack.get("target_class"),
                "true_class_rate": attack.get("true_class_rate"),
                "params": attack.get("params"),
                "planted": took,
                "planted_total": attack.get("count", planted),
                "planted_in_safe": inside,
                "detection": record["detection"],
                "settings": record["settings"],
                "machine": machine_name(record),
            }
        )
    return entries
