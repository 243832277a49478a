"""Kill a tiny training at random moments, resume it each time, and compare its end with that of one never killed.

    python bench/chaos.py                          50 kills, into bench/results/chaos.json: minutes
    python bench/chaos.py --kills 6 --out FILE     the short form, which is also a test of the default suite

Half of the kills are SIGKILL, half SIGTERM. Of each, half come at a random moment of the life's CPU time, half just
before it touches a file for the n-th time, n at random: with a checkpoint after every batch that is nearly always while
it saves. What is compared, byte by byte: weights, optimizer, pools, generator state, scores, splits, bad pairs, and the
log but for its times. A training that reaches its end before the kills are used up is compared, and another is begun.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from safeclip.run import RunDir, latest_name, machine, write_json  # noqa: E402
from tests import tiny  # noqa: E402
from tests.outcome import differences, outcome  # noqa: E402
from tests.train.lives import live  # noqa: E402

SETTINGS = {"checkpoint_minutes": 1e-6, "keep_checkpoints": 2}
"""A checkpoint after every batch; the rest is the smallest run that has every phase (tests/tiny.py)."""
KINDS = [(number, by) for by in ("cpu", "touch") for number in (signal.SIGKILL, signal.SIGTERM)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "chaos.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = chaos(Path(folder), args.kills, args.seed)
    write_json(args.out, result)
    print(json.dumps({name: value for name, value in result.items() if name not in ("lives", "machine")}))
    sys.exit(any(result["differences"]))


def chaos(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill trainings in `folder` so many times; what became of them."""
    started, told = time.monotonic(), folder / "told.json"
    planted = tiny.plant(folder / "manifest.parquet")
    assert live(tiny.arguments(folder / "whole", planted, SETTINGS), told) == 0
    whole, wanted = json.loads(told.read_text()), outcome(RunDir(folder / "whole"))
    random = np.random.default_rng(seed)
    lives: list[dict[str, Any]] = []
    found: list[list[str]] = []
    while len(lives) < kills:
        out = folder / f"training-{len(found)}"
        code = None
        while code != 0:
            moment = _moment(random, whole, kills, len(lives)) if len(lives) < kills else None
            begun = (out / "config.yaml").exists()
            resumed = ["train", "--resume", "--out", str(out), "--quiet"]
            arguments = resumed if begun else tiny.arguments(out, planted, SETTINGS)
            code = live(arguments, told, **(moment or {}))
            if moment is not None and code != 0:
                lives.append(_life(moment, code, RunDir(out)))
        found.append(differences(wanted, outcome(RunDir(out))))
    return {
        "kills": len(lives),
        "by": dict(sorted(Counter(f"{life['signal']} at a moment of {life['by']}" for life in lives).items())),
        "trainings": len(found),
        "differences": found,
        "compared": sorted(wanted),
        "seed": seed,
        "steps": max(line["step"] for line in wanted["log.jsonl"] if "step" in line),
        "settings": tiny.SETTINGS | SETTINGS,
        "whole_run": whole,
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine(),
        "lives": lives,
    }


def _moment(random: np.random.Generator, whole: dict[str, Any], kills: int, done: int) -> dict[str, Any]:
    """Of one life's end: about as far from its start as a life may go if all of them are to share one training."""
    number, by = KINDS[done % len(KINDS)]
    if by == "touch":
        return {"number": number, "touch": 1 + int(random.random() * (40 + 2 * whole["touches"] / kills))}
    return {"number": number, "cpu": 0.1 + random.random() * (2.0 + 2 * whole["cpu"] / kills)}


def _life(moment: dict[str, Any], code: int, run: RunDir) -> dict[str, Any]:
    """How it ended and what it left."""
    torn = sorted(path.name for path in run.checkpoints.glob(".*")) if run.checkpoints.exists() else []
    return {
        "signal": signal.Signals(moment["number"]).name,
        "by": "cpu" if "cpu" in moment else "touch",
        "at": round(moment["cpu"], 3) if "cpu" in moment else moment["touch"],
        "code": code,
        "left": latest_name(run.checkpoints),
        "half_written": torn,
    }


if __name__ == "__main__":
    main()
