"""The way from JPEG shards to a batch: what each part of it costs, and how much of a training step it is.

    python bench/feed.py              on a CPU, one core
    python bench/feed.py --gpu        and with a worker a core, batches pinned and sent to the GPU; about 2 minutes

Prints, and writes to bench/results/feed.json: pairs/s of a core for reading, decoding, one or two views of pictures
of 500 x 375 px, and what the vetoes look at in them; simplejpeg against Pillow; the demo's batches against its steps.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from interleaved import device_of, keep, ratio, seconds_of
from made_shards import make_shards

from safeclip.config import DataConfig, ModelConfig, ViewsConfig
from safeclip.data import decode as decoder
from safeclip.data.image_views import colour
from safeclip.data.loader import CLEAN, Inputs, Loader, Recipe
from safeclip.data.plan import Batch
from safeclip.data.read import Reader
from safeclip.data.sources import open_source
from safeclip.methods import build_method
from safeclip.model.build import Clip, build
from safeclip.model.context import cut_for
from safeclip.model.precision import resolve
from safeclip.presets import preset
from safeclip.train.prefetch import prefetched
from safeclip.train.scoring import glimpse
from safeclip.train.step import Stepper

SIZE, SIDE = (500, 375), 224
RECIPES = {"clip": Recipe(1, augment=True, eda=True), "unimodal": Recipe(2, augment=True, eda=True), "clean": CLEAN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--pairs", type=int, help="64 a round on a CPU; on a GPU 20,000 for the workers beside")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = device_of(args.gpu)
    pairs = args.pairs or 64
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        spec = make_shards(Path(folder) / "few", pairs, SIZE, args.seed)
        result |= of_a_core(spec, pairs, args.rounds, device, args.seed)
        result |= of_the_demo(args.rounds, args.seed)
        if args.gpu:
            result |= of_all_cores(make_shards(Path(folder) / "many", 20_000, SIZE, args.seed), device, args.seed)
    result["decoder"] = decoder.jpeg_decoder()
    keep("feed", device, {"pairs": pairs, "rounds": args.rounds, "size": SIZE, "seed": args.seed}, result)


def loader_of(spec: str, clip: Clip, views: ViewsConfig, seed: int, workers: int = 0) -> Loader:
    data = DataConfig(spec=spec, cache_mib=0, workers=workers)
    reader = Reader(open_source(spec), data, short_side=clip.read_side)
    return Loader(reader, views, clip.image_size, clip.tokenize, RECIPES, seed, cut_for(clip.net))


def of_a_core(spec: str, pairs: int, rounds: int, device: torch.device, seed: int) -> dict[str, Any]:
    clip = build(ModelConfig(name="RN50"), seed=seed)
    loader = loader_of(spec, clip, ViewsConfig(), seed)
    source, uids = loader.reader.source, np.arange(pairs)
    files = [source[uid].image for uid in range(pairs)]
    pictures = decode_all(files)
    painted = loader.make(1, Batch(uids, "clip"))
    runs: dict[str, Callable[[], object]] = {
        "read": lambda: [source[uid] for uid in range(pairs)],
        "decode, Pillow": lambda: by_pillow(files),
        "decode": lambda: decode_all(files),
        "batch, one view": lambda: loader.make(1, Batch(uids, "clip")),
        "batch, two views": lambda: loader.make(1, Batch(uids, "unimodal")),
        "the vetoes' look": lambda: [glimpse(picture) for picture in pictures],
    }
    seconds = seconds_of(runs, rounds, 1, torch.device("cpu"))
    rates = {name: pairs / statistics.median(times) for name, times in seconds.items()}
    sent = painted.each(lambda part: part.to(device))
    colours = seconds_of({"colours": lambda: paint(sent, clip)}, rounds, 1, device)["colours"]
    rates["colours, one view"] = pairs / statistics.median(colours)
    for name, speed in rates.items():
        print(f"{name:<20} {speed:9,.0f} pairs/s of a core")
    ratios = {
        "simplejpeg_over_pillow": ratio(seconds, "decode, Pillow", "decode") if decoder._simplejpeg() else None,
        "two_views_over_one": ratio(seconds, "batch, two views", "batch, one view"),
    }
    print(f"simplejpeg {ratios['simplejpeg_over_pillow']} x Pillow; two views {ratios['two_views_over_one']:.2f} x one")
    about = {"kilobytes": sum(map(len, files)) / pairs / 1000, "scaled_to": list(decode_all(files[:1])[0].shape[:2])}
    return {"pairs_per_second_of_a_core": rates} | ratios | about


def of_the_demo(rounds: int, seed: int) -> dict[str, Any]:
    """A batch of the demo made, against the step taken on it: processor time both."""
    config, device = preset("emoji"), torch.device("cpu")
    clip = build(config.model, seed=seed)
    clip.net.to(memory_format=torch.channels_last)
    data = replace(config.data, spec="emoji:pairs=1000,concepts=25,eval_pairs=60")
    reader = Reader(open_source(data.spec), data)
    reader.cache_all()
    method = build_method(config, len(reader), clip.dim)
    recipes = {name: objective.recipe for name, objective in method.objectives.items()}
    loader = Loader(reader, config.views, clip.image_size, clip.tokenize, recipes, seed, cut_for(clip.net))
    stepper = Stepper(clip, method, config, resolve("auto", device), device)
    shares = {}
    for objective in recipes:
        batch = Batch(np.arange(config.optim.batch_size), objective)
        made = loader.make(1, batch)
        runs = {"batch": lambda b=batch: loader.make(1, b), "step": lambda m=made: stepper(m, 1e-4)}
        shares[objective] = ratio(seconds_of(runs, rounds, 1, device), "batch", "step")
        print(f"demo: making a {objective} batch takes {100 * shares[objective]:.1f} % of its step")
    return {"demo_batch_over_step": shares}


def of_all_cores(spec: str, device: torch.device, seed: int) -> dict[str, Any]:
    """An epoch of the shards with a worker a core, each batch sent to the device and painted there."""
    clip, workers = build(ModelConfig(name="RN50"), seed=seed), os.cpu_count() or 1
    loader = loader_of(spec, clip, ViewsConfig(), seed, workers)
    count, rates = len(loader.reader), {}
    for objective in ("clip", "unimodal"):
        plan = [Batch(uids, objective) for uids in np.split(np.arange(count), range(512, count, 512))]
        start = time.perf_counter()
        for inputs in prefetched(loader.batches(1, plan), device):
            paint(inputs, clip)
        torch.cuda.synchronize()
        rates[objective] = count / (time.perf_counter() - start)
        print(f"{workers} workers, {objective}: {rates[objective]:,.0f} pairs/s onto the GPU")
    return {"workers": workers, "pairs_per_second_of_all_cores": rates}


def paint(inputs: Inputs, clip: Clip) -> list[torch.Tensor]:
    assert inputs.colour is not None
    return [
        colour(images, draws, ViewsConfig(), clip.mean, clip.std)
        for images, draws in zip(inputs.images, inputs.colour, strict=True)
    ]


def decode_all(files: list[Any]) -> list[np.ndarray]:
    return [decoder.decode(file, max_pixels=10**7, short_side=round(SIDE * 1.25)) for file in files]


def by_pillow(files: list[Any]) -> list[np.ndarray]:
    fast, decoder._simplejpeg = decoder._simplejpeg, lambda: None  # type: ignore[assignment]
    try:
        return decode_all(files)
    finally:
        decoder._simplejpeg = fast


if __name__ == "__main__":
    main()
