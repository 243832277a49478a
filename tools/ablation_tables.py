"""The tables of docs/method.md that take the evidence apart: what each veto is worth, from what bench/ablation.py
wrote, and how well the signals of the risk rank planted pairs, from the runs of the bench `emoji`.

    python tools/ablation_tables.py       writes them between the markers

What must stay true: every figure comes from bench/results, with its seeds, machine and versions; shares of planted
pairs are pooled over seeds by pairs, shares of clean ones are means over the runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pages import markdown, put

from safeclip.attacks.catalog import ATTACKS
from safeclip.bench.records import machine_name
from safeclip.bench.spec import NO_ATTACK
from safeclip.bench.wording import seeds
from safeclip.report.words import attack_name, count, percent, sentence

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "method.md"
ABLATION, RUNS = "ablation.json", "bench-emoji.json"
SIGNALS = {"similarity": "`cosine`", "neighbours": "`neighbours`", "risk": "both: the risk"}
"""The columns of `scores/` that the risk comes of, and the risk itself."""


def main() -> None:
    page = PAGE.read_text("utf-8")
    for name, make in TABLES.items():
        page = put(PAGE.name, page, name, "ablation_tables.py", make(ROOT / "bench" / "results"))
    PAGE.write_text(page, "utf-8")


def vetoes(folder: Path) -> str:
    """A row an attack: the planted pairs kept out, by all vetoes and where leaving one out changes that."""
    file = folder / ABLATION
    if not file.is_file():
        return "Not measured yet."
    found = json.loads(file.read_text("utf-8"))
    of: dict[str, list[dict[str, Any]]] = {}
    for run in found["runs"]:
        of.setdefault(run["attack"], []).append(run)
    names = list(found["runs"][0]["without"])
    rows = []
    for attack, runs in of.items():
        if attack != NO_ATTACK:
            planted = sum(run["planted"] for run in runs)
            name = attack_name(attack) if attack in ATTACKS else attack
            rows.append([sentence(name), count(planted), *_cells(runs, "planted", names, planted=True)])
    rows.append(["clean pairs beside these", "", *_cells([r for r in found["runs"] if r["planted"]], "clean", names)])
    if NO_ATTACK in of:
        rows.append(["clean pairs, nothing planted", "", *_cells(of[NO_ATTACK], "clean", names)])
    ran = sorted({run["seed"] for run in found["runs"] if run["planted"]})
    head = ["kept out", "pairs", "by all", *(f"no `{name}`" if name != "spare" else "no sparing" for name in names)]
    note = f"{sentence(seeds(ran))}. Machine: {machine_name(found)}. Record: bench/results/{ABLATION}."
    return f"{markdown(head, rows)}\n\n{note}"


def _cells(runs: Sequence[dict[str, Any]], of: str, names: Sequence[str], *, planted: bool = False) -> list[str]:
    """The share that all keep out, then each share without one of them; empty where it is the same. planted: runs
    count by their planted pairs."""
    weights = [run["planted"] if planted else 1 for run in runs]

    def pooled(shares: Sequence[float]) -> str:
        return percent(sum(w * share for w, share in zip(weights, shares, strict=True)) / sum(weights))

    whole = pooled([run["whole"][of] for run in runs])
    without = [pooled([run["without"][name][of] for run in runs]) for name in names]
    return [whole, *("" if share == whole else share for share in without)]


def signals(folder: Path) -> str:
    """A row an attack: AUROC of the risk's signals at the first split and at the last, mean over the seeds."""
    file = folder / RUNS
    if not file.is_file():
        return "Not measured yet."
    records = [r for r in json.loads(file.read_text("utf-8"))["records"] if r["label"] == "safeclip"]
    rows = []
    for attack in dict.fromkeys(record["group"] for record in records):
        runs = [record for record in records if record["group"] == attack]
        rows.append([sentence(attack_name(attack)), *(_first_and_last(runs, score) for score in SIGNALS)])
    ran = tuple(sorted({record["seed"] for record in records}))
    machines = "; ".join(dict.fromkeys(machine_name(record) for record in records))
    note = f"{sentence(seeds(ran))}. Machine: {machines}. Records: bench/results/{RUNS}."
    return f"{markdown(['AUROC, first split → last', *SIGNALS.values()], rows)}\n\n{note}"


def _first_and_last(records: Sequence[dict[str, Any]], score: str) -> str:
    """`0.61 → 0.93 (0.90 to 0.96)`: the means, and the least and greatest seed at the last."""
    first, last = [], []
    for record in records:
        by_epoch = {it["epoch"]: it["auroc"] for it in record["detection"] if it["score"] == score and not it["attack"]}
        first.append(by_epoch[min(by_epoch)])
        last.append(by_epoch[max(by_epoch)])
    around = f" ({min(last):.2f} to {max(last):.2f})" if len(last) > 1 else ""
    return f"{sum(first) / len(first):.2f} → {sum(last) / len(last):.2f}{around}"


TABLES: dict[str, Callable[[Path], str]] = {"ablation": vetoes, "signals": signals}


if __name__ == "__main__":
    main()
