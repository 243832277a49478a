"""How the runs of a page told their pairs apart: SafeCLIP's splits, and what a filter dropped.

What must stay true: a filter is never described as a mixture, nor SafeCLIP as a detector; what a run has not written is
said to be missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from safeclip.report import figures
from safeclip.report.facts import Facts, Run
from safeclip.report.story import looking
from safeclip.report.words import VETO_PHRASES, attack_name, count, listed, mapping, number, percent, plain

_DETECTORS = {
    "kdist": "how far its picture lies from the k-th nearest one",
    "slof": "how much lonelier its picture is than the pictures nearest to it",
    "lid": "in how many directions the pictures nearest to its own lie (local intrinsic dimension)",
    "dao": "how much lonelier its picture is than the pictures nearest to it, weighed by the local intrinsic dimension "
    "around those",
    "cosine": "how badly its picture and its caption fit together",
    "neighbours": "how little its caption agrees with those of the pictures nearest to its own",
}


def sections(facts: Facts) -> list[dict[str, Any]]:
    """A section for each run that splits its data: `kind` is `safeclip` or `filter`."""
    out = []
    for run in facts.runs:
        if run.method == "filter":
            out.append(_dropped(run, facts.planted_in(run)))
        elif run.splits or run.method == "safeclip":
            out.append(_safe_sets(run, facts.planted_in(run)))
    return out


def _safe_sets(run: Run, planted: np.ndarray) -> dict[str, Any]:
    own = run.section("safeclip")
    panels = figures.histograms(run, planted)
    risk = own.get("risk") or ["cosine"]
    return {
        "kind": "safeclip",
        "name": run.name,
        "panels": [p for p in panels if p["key"]],
        "all_panels": panels if len(panels) > 3 else [],
        "sharp": all(p["sharp"] for p in panels),
        "share": figures.safe_share(run),
        "signals": figures.two_signals(run, planted),
        "risk": listed([plain(r, 30) for r in risk]),
        "ranked": len(risk) > 1,
        "set_share": number(own.get("share_first")),
        "posterior": number(own.get("posterior")),
        "clamped": bool(run.splits) and run.splits[0].get("clamped") is True,
        "first_share": number(run.splits[0].get("safe_share")) if run.splits else None,
        "vetoed": number(run.splits[-1].get("vetoed")) if run.splits else None,
        "vetoes": _vetoes(run.splits[-1].get("vetoed_by")) if run.splits else [],
        "planted": len(planted),
    }


def _vetoes(by: Any) -> list[tuple[str, float]]:
    """What each veto looks for, and how many pairs it keeps out; those that keep out any, most first."""
    counts = {name: number(mapping(by).get(name)) for name in VETO_PHRASES}
    found = [(VETO_PHRASES[name], count) for name, count in counts.items() if count]
    return sorted(found, key=lambda veto: -veto[1])


def _dropped(run: Run, planted: np.ndarray) -> dict[str, Any]:
    split = run.splits[-1] if run.splits else {}
    detector = str(split.get("detector") or run.section("filter").get("detector") or "unknown")
    chart = figures.outliers(run, planted, plain(detector, 20)) if split else None
    rows, told = [], _auroc(run)
    if split:
        rows.append(_row("all pairs", *(chart["all"] if chart else _counted(split))))
        rows += [_row(attack_name(name), all_ - kept, all_, told.get(name)) for name, kept, all_ in _by_attack(split)]
        if chart and chart["clean"]:
            rows.append(_row("pairs that nobody planted", *chart["clean"]))
    return {
        "kind": "filter",
        "name": run.name,
        "done": bool(split),
        "looked": looking(run),
        "detector": plain(detector, 20),
        "measures": _DETECTORS.get(detector, "how much of an outlier it is"),
        "chart": chart["chart"] if chart else None,
        "planted": len(planted),
        "rows": rows,
        "auroc": any(row["auroc"] for row in rows),
    }


def _counted(split: dict[str, Any]) -> tuple[int, int]:
    """Pairs dropped and all pairs, from the split's own record."""
    kept, share = number(split.get("safe_count")), number(split.get("safe_share"))
    if kept is None or not share:
        return 0, 0
    return round(kept / share) - round(kept), round(kept / share)


def _by_attack(split: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Attack, and of its planted pairs those kept and all."""
    told = split.get("planted_by_attack") or {}
    return [(name, int(kept), int(total)) for name, (kept, total) in sorted(told.items())]


def _row(label: str, dropped: int, total: int, auroc: float | None = None) -> dict[str, str]:
    return {
        "label": label,
        "pairs": count(total) if total else "–",
        "dropped": count(dropped) if total else "–",
        "share": percent(dropped / total) if total else "–",
        "auroc": "" if auroc is None else percent(auroc),
    }


def _auroc(run: Run) -> dict[str, float]:
    """Of the outlier score against each attack's planted pairs, as the evaluation measured it."""
    told = run.metrics.get("detection")
    entries = [e for e in told if isinstance(e, dict)] if isinstance(told, list) else []
    found = [(str(e.get("attack")), number(e.get("auroc"))) for e in entries if e.get("score") == "risk"]
    return {attack: auroc for attack, auroc in found if auroc is not None}
