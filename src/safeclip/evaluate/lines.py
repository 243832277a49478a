"""The metrics in words, a line or two each, as `safeclip evaluate` prints them."""

from __future__ import annotations

from typing import Any


def metric_lines(metrics: dict[str, Any]) -> list[str]:
    """metrics: as in metrics.json."""
    lines = [*notes(metrics)]
    if metrics["zero_shot"]:
        z = metrics["zero_shot"]
        top1 = f"top-1 {z['top1']:.1%} ({_interval(z['ci95'])})"
        lines.append(f"zero-shot over {z['classes']} classes: {top1}, top-5 {z['top5']:.1%}, n = {z['n']}")
    if metrics["linear_probe"]:
        lines.append(_probe_line(metrics["linear_probe"]))
    if metrics["retrieval"]:
        r = metrics["retrieval"]
        for way in ("image_to_text", "text_to_image"):
            lines.append(
                f"retrieval {way.replace('_', ' ')}: "
                + ", ".join(f"R@{k[1:]} {r[way][k]:.1%}" for k in ("r1", "r5", "r10"))
                + f", n = {r['n_images']}"
            )
    for a in metrics["attack"]:
        if a["asr"] is None:
            lines.append(f"{a['name']}: not measured: {a['why']}")
            continue
        base = "unknown" if a["base_rate"] is None else f"{a['base_rate']:.1%}"
        success = f"attack success {a['k']} of {a['n']} = {a['asr']:.1%} ({_interval(a['ci95'])})"
        true = "" if a.get("true_class_rate") is None else f", called as it truly is {a['true_class_rate']:.1%}"
        lines.append(f"{a['name']}: {success}; base rate {base}{true}{_control(a.get('control'))}")
    return lines + _detection_lines(metrics["detection"])


def notes(metrics: dict[str, Any]) -> list[str]:
    """What a reader must know before the numbers: pairs that could not be read, pictures that were trained on, and why
    there is no zero-shot."""
    found, about = [], metrics.get("data") or {}
    if metrics.get("bad"):
        found.append(f"{metrics['bad']:,} of the pairs asked for cannot be read and are left out")
    if about.get("seen_in_training"):
        found.append("pairs that were trained on are among these: the numbers are not of new pictures")
    if not metrics["zero_shot"] and "classes" in about:
        found.append(
            f"no zero-shot: it takes pictures of two classes or more that read differently; the data has "
            f"{about['classes']}"
        )
    return found


def _control(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return (
        f"; with the trigger the attacker's class comes in place {found['place']} of {found['classes']}, and "
        f"{found['most_class']!r} is most called of the others, {found['most_asr']:.1%}"
    )


def _probe_line(p: dict[str, Any]) -> str:
    unfinished = "" if p["converged"] else "; not every fit converged"
    return (
        f"linear probe over {p['classes']} classes: top-1 {p['top1']:.1%} ({_interval(p['ci95'])}), n = {p['n']}, "
        f"C = {p['C']:.3g} by {p['val_n']:,} validation pictures, fitted on {p['train_n'] + p['val_n']:,}{unfinished}"
    )


def _detection_lines(entries: list[dict[str, Any]]) -> list[str]:
    """Of the last epoch scored, all attacks together."""
    last = max((entry["epoch"] for entry in entries), default=0)
    shown = [entry for entry in entries if (entry["epoch"], entry["attack"]) == (last, None) and entry["planted"]]
    shown = [entry for entry in shown if entry["auroc"] is not None]
    if not shown:
        return []
    counts = {e["score"]: f"{e['planted']:,} of {e['pairs']:,}" for e in shown}
    most = counts[max(shown, key=lambda e: e["pairs"])["score"]]
    only = {score: "" if told == most else f" (of {told})" for score, told in counts.items()}  # where some have none
    areas = [f"{e['score']} {e['auroc']:.3f}{only[e['score']]}" for e in shown]
    return [
        f"detection at epoch {last}, {most} pairs planted: AUROC {', '.join(areas)}",
        "planted pairs among the riskiest 10 %: " + ", ".join(f"{e['score']} {e['recall']['0.1']:.1%}" for e in shown),
    ]


def _interval(ci95: list[float]) -> str:
    return f"95 % interval {ci95[0]:.1%} to {ci95[1]:.1%}"
