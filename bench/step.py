"""A training step, ours against open_clip's own model and loss in eager mode, interleaved in one run.

    python bench/step.py                       on a CPU, the small towers
    python bench/step.py --gpu                 on a GPU, RN50 and ViT-B-32 at their batch sizes, compiled; 8 minutes

open_clip's step: its model, its ClipLoss, AdamW, bf16 autocast where it is the faster arithmetic, channels last, one
view, captions in their whole context, pictures that are float and normalised already. Ours starts from uint8 pictures
and does colours, flips and blur; captions have the lengths of web captions. Inputs lie on the device.
Prints, and writes to bench/results/step.json, for each model: pairs/s, and how many times as fast as open_clip.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from interleaved import device_of, keep, ratio, seconds_of, wait_for
from torch.utils.flop_counter import FlopCounterMode

from safeclip.config import ModelConfig, OptimConfig, RunConfig, ViewsConfig
from safeclip.data.image_views import COLOUR_DRAWS
from safeclip.data.loader import Inputs
from safeclip.methods import build_method
from safeclip.model.build import Clip, build
from safeclip.model.context import cut_for
from safeclip.model.open_clip_import import import_open_clip
from safeclip.model.precision import autocast, resolve
from safeclip.train.memory import used
from safeclip.train.step import Stepper

CPU_MODELS = {"safeclip-emoji": 128, "safeclip-64px": 64}
GPU_MODELS = {"RN50": 512, "ViT-B-32": 1024}
CAPTION_WORDS = (2.245, 0.418)
"""Mean and deviation of the logarithm of a caption's words: 10.3 and 4.5 words, as in CC3M (Sharma et al. 2018)."""
PLAIN = "clip, whole captions, not compiled"
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 FLOP/s, from the makers' data sheets."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--models", nargs="+", metavar="NAME:BATCH", help="instead of the usual ones")
    parser.add_argument("--rounds", type=int, help="20 on a GPU, 7 on a CPU")
    parser.add_argument("--compile", help="torch.compile's mode of our step; default on a GPU, none on a CPU")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = device_of(args.gpu)
    torch.backends.cudnn.benchmark = True
    wanted = [name.rsplit(":", 1) for name in args.models or ()]
    models = {name: int(batch) for name, batch in wanted} or (GPU_MODELS if args.gpu else CPU_MODELS)
    mode = args.compile or ("default" if args.gpu else None)
    rounds = args.rounds or (20 if args.gpu else 7)
    found = [measure(name, batch, device, rounds, mode, args.seed) for name, batch in models.items()]
    keep("step", device, {"rounds": rounds, "compile": mode, "seed": args.seed}, {"models": found})


def measure(name: str, batch: int, device: torch.device, rounds: int, mode: str | None, seed: int) -> dict[str, Any]:
    arithmetic = resolve("auto", device)
    torch.manual_seed(seed)
    clips = {kind: build(ModelConfig(name=name), seed=seed) for kind in ("open_clip", "clip", "two", "whole")}
    for clip in clips.values():
        clip.net.to(device, memory_format=torch.channels_last)
    one, two = (inputs_of(clips["clip"], batch, views, device, seed) for views in (1, 2))
    whole = inputs_of(clips["whole"], batch, 1, device, seed, cut=False)
    steps = {
        "open_clip": theirs(clips["open_clip"], whole, device, arithmetic),
        PLAIN: ours(clips["whole"], "clip", batch, whole, device, arithmetic, None),
        "clip": ours(clips["clip"], "clip", batch, one, device, arithmetic, mode),
        "risky, two views": ours(clips["two"], "safeclip", batch, two, device, arithmetic, mode),
    }
    needed = {step: activations(run, device) for step, run in steps.items()} if device.type == "cuda" else None
    seconds = seconds_of(steps, rounds, warm=5 if device.type == "cuda" else 1, device=device)
    result: dict[str, Any] = {"model": name, "batch": batch, "arithmetic": arithmetic, "activations_mib": needed}
    result["tokens"] = {"whole": whole.tokens.shape[-1], "cut": one.tokens.shape[-1]}
    result["time_by_operator"] = {step: by_operator(steps[step], device) for step in ("clip", "risky, two views")}
    result["milliseconds"] = {step: 1000 * statistics.median(times) for step, times in seconds.items()}
    result["pairs_per_second"] = {step: batch / statistics.median(times) for step, times in seconds.items()}
    result["times_as_fast_as_open_clip"] = {step: ratio(seconds, "open_clip", step) for step in steps}
    result["risky_step_costs_clip_steps"] = ratio(seconds, "risky, two views", "clip")
    if device.type == "cuda":
        peak = next((flops for kind, flops in PEAK.items() if kind in torch.cuda.get_device_name(device)), None)
        work = flops_of(clips["open_clip"], whole, device)
        rate = {step: work * n / batch for step, n in result["pairs_per_second"].items() if step != "risky, two views"}
        result["model_flops_per_second"] = rate  # of the whole context, forward and backward, once
        result["utilisation"] = peak and {step: flops / peak for step, flops in rate.items()}
    for step, speed in result["pairs_per_second"].items():
        print(f"{name:>15} {step:<38} {speed:9,.0f} pairs/s   {result['times_as_fast_as_open_clip'][step]:.2f} x")
    print(f"{name:>15} a risky step costs {result['risky_step_costs_clip_steps']:.2f} CLIP steps")
    return result


def activations(step: Callable[[], object], device: torch.device) -> int:
    """MiB that a step needs beside what is held between steps; the second one's, when all that stays is there."""
    for _ in range(2):
        used(device)
        step()
    return used(device)["activations_mib"]


def by_operator(step: Callable[[], object], device: torch.device, most: int = 10) -> dict[str, float]:
    """Shares of a step's time, of the operators that take most of it."""
    kinds = [torch.profiler.ProfilerActivity.CUDA if device.type == "cuda" else torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=kinds) as profile:
        step()
        wait_for(device)
    field = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    times = {event.key: float(getattr(event, field)) for event in profile.key_averages()}
    total = sum(times.values())
    return {key: times[key] / total for key in sorted(times, key=lambda key: -times[key])[:most]}


def inputs_of(clip: Clip, batch: int, views: int, device: torch.device, seed: int, cut: bool = True) -> Inputs:
    random, side = torch.Generator().manual_seed(seed), clip.image_size
    mean, deviation = CAPTION_WORDS
    words = (mean + deviation * torch.randn(views, batch, generator=random)).exp().round().int().clamp(min=1).tolist()
    tokens = torch.stack([clip.tokenize([" ".join(["dog"] * n) for n in row]) for row in words])
    shorten = cut_for(clip.net)
    inputs = Inputs(
        uids=torch.arange(batch).numpy(),
        objective="clip" if views == 1 else "unimodal",
        images=torch.randint(0, 256, (views, batch, side, side, 3), dtype=torch.uint8, generator=random),
        colour=torch.rand(views, batch, COLOUR_DRAWS, generator=random),
        tokens=shorten(tokens) if cut and shorten else tokens,
    )
    return inputs.each(lambda part: part.to(device))


def ours(
    clip: Clip, method: str, batch: int, inputs: Inputs, device: torch.device, arithmetic: Any, mode: Any
) -> Callable[[], object]:
    config = RunConfig(
        method=method,
        epochs=32,
        model=ModelConfig(name=clip.name, compile=mode),
        optim=OptimConfig(batch_size=batch),
        views=ViewsConfig(),
    )
    built = build_method(config, 20 * batch, clip.dim)
    for pool in built.pools.values():
        pool.to(device)
        pool.enqueue(torch.randn(pool.size, clip.dim, device=device))
    stepper = Stepper(clip, built, config, arithmetic, device, note=print)
    return lambda: stepper(inputs, 1e-4)


def theirs(clip: Clip, inputs: Inputs, device: torch.device, arithmetic: Any) -> Callable[[], object]:
    net, loss_of = clip.net.train(), import_open_clip().ClipLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.1)
    pixels, tokens = pixels_of(inputs), inputs.tokens[0]

    def step() -> None:
        with autocast(arithmetic, device):
            image, text, scale = net(pixels, tokens)[:3]
            loss = loss_of(image, text, scale)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def flops_of(clip: Clip, inputs: Inputs, device: torch.device) -> float:
    """Of a batch, forward and backward, as the model's products count them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        clip.net(pixels_of(inputs), inputs.tokens[0])
    return 3.0 * counter.get_total_flops()


def pixels_of(inputs: Inputs) -> torch.Tensor:
    return (inputs.images[0].permute(0, 3, 1, 2).float() / 255 - 0.5).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
