"""What a bench ran, for its page: how each attack was planted, how each method was trained, on which machines.

What must stay true: it is told from the records, so that the page says what was done and not what was asked for.
"""

from __future__ import annotations

from safeclip.bench.measure import Record
from safeclip.bench.table import Table, attack_in
from safeclip.bench.wording import row_title
from safeclip.report.words import count, model_name, plain, sentence, small_percent


def attacks(table: Table) -> list[dict[str, str]]:
    """How each attack was planted, by the first record that has it."""
    out = []
    for row in table.rows:
        of_row = (a for r in table.records if r["group"] == row.group and (a := attack_in(r, row.attack)))
        attack = next(of_row, None)
        if attack is not None:
            targets = [
                str(a["target_class"])
                for r in table.records
                if r["group"] == row.group and (a := attack_in(r, row.attack)) and a["target_class"] is not None
            ]
            out.append(
                {
                    "title": sentence(row_title(row)),
                    "planted": f"{count(attack['count'])} pairs, {small_percent(attack['rate'])} of the data",
                    "wanted": ", ".join(plain(name, 60) for name in dict.fromkeys(targets)) or "a class a target",
                    "params": ", ".join(f"{plain(k, 40)} = {plain(v, 60)}" for k, v in attack["params"].items()),
                }
            )
    return out


def settings(table: Table) -> list[dict[str, str]]:
    """How each method was trained: where it departs from the preset."""
    out = []
    for method in table.spec.every_method():
        own = next((r for r in table.records if r["label"] == method.title), None)
        if own is None:
            continue
        about = [f"{name} = {plain(value, 60)}" for name, value in own["settings"].items()]
        if method.starts_from is not None:
            about.insert(0, f"starts from {model_name(method.starts_from)}")
        if method.train_on is not None:
            about.insert(0, f"{count(own['trained_on'][1])} trusted pairs of split {method.train_on}")
        out.append(
            {
                "title": sentence(model_name(method.title)),
                "epochs": count(own["epochs"]),
                "speed": f"{count(own['pairs_per_second'])} pairs/s",
                "about": "; ".join(about) or "as the preset has it",
            }
        )
    return out


def machines(table: Table) -> list[tuple[str, str]]:
    """What the runs were done on: each name with every value that it has in them."""
    found: dict[str, list[str]] = {}
    for record in table.records:
        for name, value in _about(record).items():
            found.setdefault(name, []).append(value)
    return [(name, "; ".join(dict.fromkeys(values))) for name, values in found.items()]


def _about(record: Record) -> dict[str, str]:
    machine = record["machine"]
    named = {name: machine[name] for name in ("cpu", "cores", "gpu", "python", "git") if machine.get(name)}
    whole = {"date": record["date"][:10], **named, "arithmetic": record["precision"], **machine.get("versions", {})}
    return {plain(name, 40): plain(value, 120) for name, value in whole.items()}
