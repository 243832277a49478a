"""Evaluate a trained run, or any open_clip checkpoint, on a split of a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from safeclip.attacks.manifest import Manifest
from safeclip.config import DataConfig, ModelConfig
from safeclip.data.read import Reader
from safeclip.data.sources import open_source
from safeclip.errors import InputError
from safeclip.evaluate import evaluate_source
from safeclip.model import precision
from safeclip.model.build import Clip, build
from safeclip.model.embed import Embedder
from safeclip.run import RunDir, write_json
from safeclip.train import checkpoint


def load_run(path: str | Path, name: str | None = None) -> Clip:
    """The towers of a run's checkpoint (`name`, as in epoch-007; the newest by default). Raises InputError."""
    run = RunDir(path)
    config = run.config()
    folder = checkpoint.latest(run.checkpoints) if name is None else run.checkpoints / name
    if folder is None or not (folder / "model.safetensors").is_file():
        raise InputError(f"{folder or run.checkpoints}: no checkpoint there; train first, or name one of checkpoints/")
    clip = build(config.model, seed=config.seed)
    checkpoint.load_towers(folder / "model.safetensors", clip.net)
    clip.net.eval()
    return clip


def evaluate_run(
    path: str | Path,
    *,
    data: str | None = None,
    split: str | None = None,
    manifest: str | Path | None = None,
    name: str | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Zero-shot, retrieval and attack success of a run; written to RUN/metrics.json. Raises InputError.

    data, split: what to evaluate on; by default the run's data and its `data.eval_split`.
    manifest: by default the run's own.
    """
    run = RunDir(path)
    config = run.config()
    settings = replace(config.data, spec=data or config.data.spec, split=split or config.data.eval_split)
    if manifest is None and run.manifest_file.is_file():
        manifest = run.manifest_file
    metrics = evaluate_model(load_run(path, name), settings, templates=config.templates, manifest=manifest, limit=limit)
    write_json(run.metrics_file, metrics)
    return metrics


def evaluate_model(
    clip: Clip,
    data: DataConfig,
    *,
    templates: tuple[str, ...],
    manifest: str | Path | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """metrics.json's content for a model on the pairs of `data` (its `split`). Raises InputError."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clip.net.to(device).eval()
    embedder = Embedder(clip, device, precision.resolve("fp32" if device.type == "cpu" else "auto", device))
    source = open_source(
        data.spec,
        split=data.split,
        image_column=data.image_column,
        caption_column=data.caption_column,
        class_column=data.class_column,
        image_root=data.image_root,
    )
    reader = Reader(source, data, short_side=round(clip.image_size * 1.25))
    planted = None if manifest is None else Manifest.load(manifest)
    metrics = evaluate_source(embedder, reader, templates, manifest=planted, limit=limit)
    metrics["data"] = {"spec": data.spec, "split": data.split, "pairs": len(source), "classes": len(source.class_names)}
    return metrics


def open_clip_model(name: str, weights: str | None) -> Clip:
    """Any open_clip architecture with the weights of a file. Raises InputError."""
    if weights is None:
        raise InputError(f"--model {name}: give its weights with --weights FILE; nothing is downloaded")
    return build(ModelConfig(name=name, weights=weights))
