"""Evaluate a trained run, or any other model, on a split of a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from safeclip.attacks.manifest import Manifest
from safeclip.config import DataConfig, ModelConfig, RunConfig, override
from safeclip.data.pairs import Source
from safeclip.data.read import Reader
from safeclip.data.same import same_pictures
from safeclip.data.sources import READ_BY, open_classed, open_pairs
from safeclip.errors import InputError
from safeclip.evaluate.detection import detection
from safeclip.evaluate.probe_pictures import probe_pictures, probe_splits
from safeclip.evaluate.source import evaluate_source
from safeclip.model import precision
from safeclip.model.build import Clip, build
from safeclip.model.embed import Embedder
from safeclip.run import RunDir, write_json
from safeclip.train.checkpoint import latest, load_towers

SEEN = 50_000
"""Of the pairs that a run was trained on, at most so many are measured unless it is said: there may be millions, and
they say little."""


def load_run(path: str | Path, checkpoint: str | None = None) -> Clip:
    """The towers of a run's checkpoint (as in epoch-007; the newest by default). Raises InputError."""
    run = RunDir(path)
    return _towers(run.config(), checkpoint_of(run, checkpoint))


def checkpoint_of(run: RunDir, name: str | None = None) -> Path:
    """The folder of a run's checkpoint, the newest by default. Raises InputError where there is none."""
    folder = latest(run.checkpoints) if name is None else run.checkpoints / name
    if folder is None or not (folder / "model.safetensors").is_file():
        raise InputError(f"{folder or run.checkpoints}: no checkpoint there; train first, or name one of checkpoints/")
    return folder


def _towers(config: RunConfig, folder: Path) -> Clip:
    clip = build(replace(config.model, weights=None))  # the checkpoint has all of them
    load_towers(folder / "model.safetensors", clip.net)
    clip.net.eval()
    return clip


def evaluate_run(
    path: str | Path,
    *,
    data: str | None = None,
    split: str | None = None,
    manifest: str | Path | None = None,
    checkpoint: str | None = None,
    limit: int | None = None,
    settings: dict[str, Any] | None = None,
    templates: tuple[str, ...] | None = None,
    probe: bool = False,
    out: str | Path | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Zero-shot, retrieval, attack success and detection of a run, with `probe` its linear probe; written to
    metrics.json in `out`, the run's folder by default.

    data, split: what to evaluate on; by default the run's data and its `data.eval_split`. settings: how other data is
    read, by dotted name, as in {"data.class_column": "label"}. manifest: attacks to measure, by default the run's own.
    limit: pairs at most; None: all, or SEEN of those that it was trained on.
    templates: zero-shot prompts, instead of the data's own, or the run's. quiet: tell no progress. Raises InputError,
    RunError.
    """
    run = RunDir(path)
    config = run.config()
    where = config.data if data is None else replace(config.data, spec=data, **_UNSET)
    where = replace(where, split=split or config.data.eval_split)
    if settings:
        where = override(replace(config, data=where), settings).data
    if manifest is None and run.manifest_file.is_file():
        manifest = run.manifest_file
    folder = checkpoint_of(run, checkpoint)
    clip = _towers(config, folder)
    found, seen = detection(run), _seen(where, config.data)
    if seen and limit is None and len(open_pairs(where, where.split)) > SEEN:
        limit = SEEN
    metrics = evaluate_model(
        clip,
        where,
        templates=templates,
        otherwise=config.templates,
        manifest=manifest,
        limit=limit,
        few_shards=seen,
        probe=probe,
        quiet=quiet,
    )
    metrics["detection"] = found
    metrics["data"]["checkpoint"] = folder.name
    metrics["data"]["seen_in_training"] = seen
    write_json(run.metrics_file if out is None else Path(out) / run.metrics_file.name, metrics)
    return metrics


def evaluate_model(
    clip: Clip,
    data: DataConfig,
    *,
    templates: tuple[str, ...] | None = None,
    otherwise: tuple[str, ...] = RunConfig().templates,
    manifest: str | Path | None = None,
    limit: int | None = None,
    few_shards: bool = False,
    probe: bool = False,
    quiet: bool = True,
) -> dict[str, Any]:
    """metrics.json's content for a model on the pairs of `data` (its `split`). Raises InputError, RunError.

    templates: zero-shot prompts; None takes the data's own, or `otherwise` where it has none. limit, few_shards: as for
    `evaluate_source`.
    """
    source = open_classed(data, data.split)
    splits = probe_splits(lambda split: open_classed(data, split), source, data.split) if probe else None
    planted = None if manifest is None else Manifest.load(manifest)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clip.net.to(device).eval()
    embedder = Embedder(clip, device, precision.resolve("fp32" if device.type == "cpu" else "auto", device))

    def reader_of(pairs: Source) -> Reader:
        return Reader(pairs, data, short_side=clip.read_side)

    prompts = templates or getattr(source, "templates", ()) or otherwise
    trained = (
        None if splits is None else probe_pictures(embedder, splits, reader_of, source.class_names, limit, data.workers)
    )
    metrics = evaluate_source(
        embedder,
        reader_of(source),
        prompts,
        manifest=planted,
        limit=limit,
        few_shards=few_shards,
        trained=trained,
        threads=data.workers,
        quiet=quiet,
    )
    if splits is not None:
        metrics["linear_probe"]["val_split"] = splits.val_split
    metrics["data"] = {
        "spec": data.spec,
        "split": data.split,
        "pairs": len(source),
        "classes": len(source.class_names),
        "read_by": {name: getattr(data, name) for name in READ_BY},
        "limit": limit,
        "templates": list(prompts) if source.class_names else [],
        "manifest": None if planted is None else planted.digest,
    }
    return metrics


def _seen(data: DataConfig, trained: DataConfig) -> bool:
    """Whether the pairs hold those trained on or some of them: splits of one set that are or hold each other, and the
    same pictures, however their specs are written; where one cannot be opened any more, nobody knows. Data of other
    URLs is other data: opening it takes long."""
    if data.spec == trained.spec and (_holds(data.split, trained.split) or _holds(trained.split, data.split)):
        return True
    if data.spec != trained.spec and "://" in data.spec + trained.spec:
        return False
    try:
        return same_pictures(open_pairs(data, data.split), open_pairs(trained, trained.split))
    except InputError:
        return False


def _holds(split: str, other: str) -> bool:
    return split in ("all", other) or (split == "trainval" and other in ("train", "val"))


def open_clip_model(name: str, weights: str | None, tag: str | None = None) -> Clip:
    """Any open_clip architecture with the weights of a file, its pictures normalised as the tag has it. Raises
    InputError."""
    if weights is None:
        raise InputError(f"--model {name}: give its weights with --weights FILE; nothing is downloaded")
    return build(ModelConfig(name=name, weights=weights, tag=tag))


_UNSET: dict[str, Any] = {name: getattr(DataConfig(), name) for name in (*READ_BY, "class_names")}
"""How other data than the run's is read, unless it is said: by the usual names."""
