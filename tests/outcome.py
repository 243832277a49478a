"""What two runs are compared by: everything they leave behind but the time it took."""

from __future__ import annotations

import json
from typing import Any

from safeclip.run import RunDir
from safeclip.train import checkpoint

_CLOCK = ("seconds", "pairs_per_second", "log_length")


def outcome(run: RunDir) -> dict[str, Any]:
    """Bytes of the newest checkpoint's tensors, of every epoch's scores and of the splits; the log without times."""
    newest = checkpoint.latest(run.checkpoints)
    assert newest is not None
    found: dict[str, Any] = {name: (newest / name).read_bytes() for name in ("model.safetensors", "state.safetensors")}
    found |= {f"scores/{file.name}": file.read_bytes() for file in (run.path / "scores").glob("*")}
    found["split.jsonl"] = run.split_file.read_bytes() if run.split_file.exists() else b""
    found["bad_pairs"] = run.bad_pairs_file.exists()
    found["manifest"] = run.manifest_file.read_bytes() if run.manifest_file.exists() else b""
    found["newest"] = newest.name
    found["state.json"] = _timeless(json.loads((newest / "state.json").read_text()))
    found["log.jsonl"] = [_timeless(line) for line in run.log()]
    return found


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Names of what differs."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in _CLOCK}
