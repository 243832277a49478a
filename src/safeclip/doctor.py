"""What is wrong with this machine or this data, in a few lines, before a long run finds out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from safeclip.config import DataConfig
from safeclip.data.pairs import BadPair
from safeclip.data.read import Reader
from safeclip.data.sources import open_source
from safeclip.model import precision
from safeclip.model.build import architectures
from safeclip.run import machine

SAMPLE = 200


def examine(*, data: str | None = None, split: str = "train", models: bool = False) -> dict[str, Any]:
    """{"lines": for a person, "machine", "data", "broken": what must be mended}. Raises InputError where the data cannot be opened."""
    if models:
        return {"lines": architectures(), "models": architectures(), "broken": []}
    about = machine()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arithmetic = precision.resolve("auto", device)
    threads = torch.get_num_threads()
    where = torch.cuda.get_device_name() if device.type == "cuda" else about["cpu"]
    lines = [
        f"python {about['python']}, " + ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        f"trains on: {device.type} ({where}), {arithmetic} is the faster arithmetic here",
        f"cores: {os.cpu_count()}, torch uses {threads}",
    ]
    broken: list[str] = []
    found: dict[str, Any] | None = None
    if data is not None:
        found = _look_through(data, split)
        lines += [f"{data} ({split}): {found['pairs']} pairs, {found['classes']} classes"]
        lines += [
            f"  of {found['looked_at']} looked at: {found['bad']} unusable, median picture {found['median_side']} px, {found['mean_captions']:.1f} captions a pair"
        ]
        lines += [f"  uid {uid}: {reason}" for uid, reason in found["reasons"][:5]]
        if found["bad"] == found["looked_at"]:
            broken.append(f"{data}: none of {found['looked_at']} pairs looked at can be used")
    return {
        "lines": lines,
        "machine": about,
        "device": device.type,
        "precision": arithmetic,
        "data": found,
        "broken": broken,
    }


def _look_through(data: str, split: str) -> dict[str, Any]:
    source = open_source(data, split=split)
    reader = Reader(source, DataConfig(spec=data, split=split))
    sides, captions, reasons = [], [], []
    uids = np.unique(np.linspace(0, len(source) - 1, min(SAMPLE, len(source))).astype(np.int64)).tolist()
    for uid in uids:
        try:
            image, texts = reader.read(uid)
        except BadPair as reason:
            reasons.append((uid, str(reason)))
            continue
        sides.append(min(image.shape[:2]))
        captions.append(len(texts))
    return {
        "pairs": len(source),
        "classes": len(source.class_names),
        "looked_at": len(uids),
        "bad": len(reasons),
        "reasons": reasons,
        "median_side": int(np.median(sides)) if sides else 0,
        "mean_captions": float(np.mean(captions)) if captions else 0.0,
    }
