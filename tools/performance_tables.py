"""The tables of docs/performance.md, from what bench/step.py, feed.py, epoch.py, scale.py, split.py and
scoring.py wrote.

    python tools/performance_tables.py       writes them between the markers

What must stay true: every figure comes from bench/results/*.json; machine, versions and settings stand below it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import markdown, put

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
NAMES = ("step", "feed", "epoch", "scale", "split", "scoring")
KINDS = ("", "-gpu")
OF_CPU_ALONE = ("split", "scoring")


def main() -> None:
    page = PAGE.read_text("utf-8")
    for name in NAMES:
        page = put(PAGE.name, page, name, "performance_tables.py", table(ROOT / "bench" / "results", name))
    PAGE.write_text(page, "utf-8")


def table(folder: Path, name: str) -> str:
    """What a bench found on a CPU, and on a GPU where it ran on one."""
    parts = []
    for kind in KINDS:
        file = folder / f"{name}{kind}.json"
        if file.is_file():
            found = json.loads(file.read_text("utf-8"))
            parts.append(f"{MAKERS[name](found)}\n\n{_below(found, file.name)}")
        elif kind and name not in OF_CPU_ALONE:
            parts.append(f"On a GPU: not measured yet; `python bench/{name}.py --gpu` does.")
    return "\n\n".join(parts)


def step(found: dict[str, Any]) -> str:
    rows = []
    for model in found["models"]:
        for name, speed in model["pairs_per_second"].items():
            times = f"{model['times_as_fast_as_open_clip'][name]:.2f}"
            rows.append([f"{model['model']}, {model['batch']} pairs", name, f"{speed:,.0f}", times])
    lines = [
        f"{model['model']}: a risky step costs {model['risky_step_costs_clip_steps']:.2f} CLIP steps. "
        f"Captions cut from {model['tokens']['whole']} to {model['tokens']['cut']} tokens. A CLIP step's time: "
        + ", ".join(
            f"{100 * share:.0f} % {op.split('::')[-1]}" for op, share in _most(model["time_by_operator"]["clip"])
        )
        + "."
        for model in found["models"]
    ]
    return markdown(["model", "step", "pairs/s", "times as fast as open_clip"], rows) + "\n\n" + "\n\n".join(lines)


def feed(found: dict[str, Any]) -> str:
    rows = [[part, f"{speed:,.0f}"] for part, speed in found["pairs_per_second_of_a_core"].items()]
    lines = [f"Two views take {found['two_views_over_one']:.2f} times as long as one."]
    if found["simplejpeg_over_pillow"]:
        lines.insert(0, f"simplejpeg decodes {found['simplejpeg_over_pillow']:.2f} times as fast as Pillow.")
    shares = ", ".join(f"{100 * share:.1f} % ({name})" for name, share in found["demo_batch_over_step"].items())
    lines.append(f"In the demo, making a batch takes this much of the step on it: {shares}.")
    for name, speed in found.get("pairs_per_second_of_all_cores", {}).items():
        lines.append(f"{found['workers']} workers, {name}: {speed:,.0f} pairs/s onto the GPU.")
    return markdown(["part", "pairs/s of a core"], rows) + "\n\n" + " ".join(lines)


def epoch(found: dict[str, Any]) -> str:
    rows = [
        ["plain CLIP, one view", f"{found['pairs_per_second_plain']:,.0f}", "1.00"],
        ["unimodal warm-up", "", f"{found['warmup_over_plain']:.2f}"],
        ["alignment, with the look for the vetoes", "", f"{found['align_over_plain']:.2f}"],
        ["defended", f"{found['pairs_per_second_defended']:,.0f}", f"{found['defended_over_plain']:.2f}"],
        [
            "the same, risky pairs in one view",
            f"{found['pairs_per_second_one_view']:,.0f}",
            f"{found['one_view_over_plain']:.2f}",
        ],
    ]
    made = markdown(["epoch", "pairs/s", "costs plain epochs"], rows)
    if "of_synthetic" in found:
        made += f"\n\nThe plain epoch runs at {100 * found['of_synthetic']:.0f} % of the speed on inputs on the device."
    return made


def scale(found: dict[str, Any]) -> str:
    table, growth = found["microseconds_a_pair"], found["growth"]
    rows = [[f"{int(size):,}", *(f"{value:.2f}" for value in parts.values())] for size, parts in table.items()]
    rows.append(["growth, 1 is linear", *(f"{value:.2f}" for value in growth.values())])
    return markdown(["pairs: microseconds a pair", *growth], rows)


def split(found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{about['seconds']:.1f} s",
            f"{about['cpu_seconds']:.1f} s",
            f"{about['peak_bytes'] / 1e9:.1f} GB",
            f"{about['own_bytes'] / 1e9:.1f} GB",
        ]
        for name, about in found["forms"].items()
    ]
    head = [f"{found['pairs']:,} pairs", "clock", "processor", "peak of memory", "without the mapped scores"]
    return markdown(head, rows)


def scoring(found: dict[str, Any]) -> str:
    """Means over the seeds."""
    head = [
        "split before epoch",
        *("rank correlation: cosine", "neighbours", "planted in the riskiest tenth: running", "fresh"),
    ]
    rows = []
    for epoch in found["runs"][0]["splits"]:
        splits = [run["splits"][epoch] for run in found["runs"]]

        def mean(name: str, splits: list[dict[str, float]] = splits) -> float:
            return sum(split[name] for split in splits) / len(splits)

        shares = [f"{100 * mean(f'recall_{kind}'):.0f} %" for kind in ("running", "fresh")]
        rows.append([epoch, *(f"{mean(f'correlation_{name}'):.2f}" for name in ("cosine", "neighbours")), *shares])
    return markdown(head, rows)


MAKERS = {"step": step, "feed": feed, "epoch": epoch, "scale": scale, "split": split, "scoring": scoring}


def _most(shares: dict[str, float]) -> list[tuple[str, float]]:
    return [(op, share) for op, share in shares.items() if share >= 0.03]


def _below(found: dict[str, Any], file: str) -> str:
    machine, settings = found["machine"], found["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = found.get("gpu") or machine["cpu"]
    threads = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    said = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    return f"{where}, {machine['cores']} cores, {threads}; {versions}; {said}. Record: bench/results/{file}."


if __name__ == "__main__":
    main()
