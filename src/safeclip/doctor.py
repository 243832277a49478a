"""What this machine trains on, and what is wrong with a data set, in a few lines, before a long run finds out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from safeclip.config import DataConfig
from safeclip.cores import usable_cores
from safeclip.data.decode import jpeg_decoder
from safeclip.data.pairs import BadPair
from safeclip.data.read import Reader
from safeclip.data.same import same_pictures
from safeclip.data.sources import open_classed, open_pairs
from safeclip.data.spread import spread
from safeclip.errors import InputError
from safeclip.model import precision
from safeclip.model.build import architectures
from safeclip.model.threads import set_threads
from safeclip.presets import PRESETS, preset
from safeclip.run import machine

SAMPLE = 200


def examine(*, data: DataConfig | None = None, models: bool = False) -> dict[str, Any]:
    """{"lines": for a person, "machine", "device", "precision", "data", "broken": what must be mended}.

    Raises InputError where the data cannot be opened.
    """
    if models:
        return {"lines": architectures(), "models": architectures(), "broken": []}
    about = machine()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arithmetic = precision.resolve("auto", device)
    threads = set_threads()
    where = torch.cuda.get_device_name() if device.type == "cuda" else about["cpu"]
    lines = [
        f"python {about['python']}, " + ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        f"trains on: {device.type} ({where}), in {arithmetic}",
        f"cores: {usable_cores()} of {os.cpu_count()}, torch uses {threads}; JPEGs by {jpeg_decoder()}",
    ]
    broken: list[str] = []
    found: dict[str, Any] | None = None
    if data is not None:
        found = _look_through(data)
        lines += _data_lines(data, found)
        if found["bad"] > data.max_bad_share * found["looked_at"]:
            broken.append(
                f"{data.spec}: {found['bad']} of {found['looked_at']} pairs looked at cannot be used; "
                f"a run stops above data.max_bad_share = {data.max_bad_share}"
            )
        elif missing := _not_evaluated(data):
            lines.append(missing)
        else:
            lines += [*_notes(data, found), "nothing found that would stop a run"]
    return {
        "lines": lines,
        "machine": about,
        "device": device.type,
        "precision": arithmetic,
        "data": found,
        "broken": broken,
    }


def _not_evaluated(data: DataConfig) -> str | None:
    """Why `train` would refuse to begin: a run is evaluated in the end."""
    try:
        open_pairs(data, data.eval_split)
    except InputError as why:
        return f"{why}: `train` evaluates on data.eval_split; give it one, as in --set data.eval_split=val"
    return None


def _notes(data: DataConfig, found: dict[str, Any]) -> list[str]:
    """What to know before a run begins."""
    notes, smallest = [], min(preset(name).optim.batch_size for name in PRESETS)
    if found["pairs"] < smallest:
        notes.append(
            f"fewer pairs than a batch of the presets ({smallest} or more): --set optim.batch_size={found['pairs']}"
        )
    if "://" not in data.spec and same_pictures(open_pairs(data), open_pairs(data, data.eval_split)):
        notes.append(
            f"split {data.eval_split} holds the pairs trained on: measure on others (`safeclip evaluate RUN --data`)"
        )
    return notes


def _data_lines(data: DataConfig, found: dict[str, Any]) -> list[str]:
    classes = f"{found['classes']} classes" if found["classes"] else "no classes (no zero-shot evaluation)"
    lines = [f"{data.spec} (split {data.split}): {found['pairs']} pairs, {classes}"]
    if found["not_downloaded"]:
        lines.append(f"  {found['not_downloaded']} rows have no picture there and are not counted as pairs")
    if found["beside_classes"]:
        lines.append(f"  {found['beside_classes']} pictures lie beside the class folders and are not counted as pairs")
    lines.append(f"  looked at {found['looked_at']}: {found['bad']} cannot be used")
    if found["example"]:
        lines.append(
            f"  short side of the median picture {found['median_side']} px, "
            f"{found['mean_captions']:.1f} captions a pair, as in {found['example']!r}"
        )
    return lines + [f"  uid {uid}: {reason}" for uid, reason in found["reasons"][:5]]


def _look_through(data: DataConfig) -> dict[str, Any]:
    source = open_pairs(data)
    reader = Reader(source, data)
    sides, captions, reasons, example = [], [], [], ""
    uids = spread(len(source), SAMPLE).tolist()
    for uid in uids:
        try:
            image, texts = reader.read(uid)
        except BadPair as reason:
            reasons.append((uid, str(reason)))
            continue
        sides.append(min(image.shape[:2]))
        captions.append(len(texts))
        example = example or texts[0][:60]
    return {
        "pairs": len(source),
        "classes": len(open_classed(data).class_names if data.class_names else source.class_names),
        "looked_at": len(uids),
        "bad": len(reasons),
        "reasons": reasons,
        "median_side": int(np.median(sides)) if sides else 0,
        "mean_captions": float(np.mean(captions)) if captions else 0.0,
        "example": example,
        "not_downloaded": getattr(source, "not_downloaded", 0),
        "beside_classes": getattr(source, "beside_classes", 0),
    }
