"""Pairs made to fit under a model of the attacker's own (adaptive; PGD: Madry et al. 2018, 1706.06083).

    captions   those of the attacker's class with the highest cos(f_I(target), f_T(caption))
    pictures   x + argmax over |d| <= epsilon of cos(f_I(x + d), f_T(caption)), by projected gradient ascent

f is a surrogate: a run, or any open_clip checkpoint. It knows that a defence ranks pairs by their cosine, and hopes
that what fits one model fits another; each copy is drawn to a caption of its own, so that no two are the same file.
Success is measured on the target picture as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from safeclip.attacks.manifest import Manifest
from safeclip.attacks.shot_attacks import rendering
from safeclip.attacks.shots import STILL, shoot
from safeclip.attacks.targeted import Craft, plan_targeted
from safeclip.attacks.targets import Target
from safeclip.config import ModelConfig
from safeclip.data.draws import uniforms
from safeclip.data.pairs import Source
from safeclip.errors import InputError
from safeclip.model.build import Clip, build
from safeclip.model.embed import Embedder
from safeclip.run import RunDir, latest_name

_STREAM = 0x5D06
_CHUNK = 16


def plan_surrogate(
    source: Source,
    targets: Source,
    *,
    model: str | None = None,
    architecture: str | None = None,
    epsilon: float = 8 / 255,
    steps: int = 10,
    renderings: bool = True,
    seed: int = 0,
    **planned: Any,
) -> Manifest:
    """`plan_targeted` with captions and pictures that fit under a surrogate.

    model: a run directory, or a weights file of `architecture`. epsilon: how far a value of a planted picture may go,
    as a share of 255; 0 leaves the pictures alone. steps: of the ascent. renderings: start each from a near-copy of its
    own (`near-copies`), so that not only the files differ. Raises InputError.
    """
    if not 0 <= epsilon <= 1:
        raise InputError(f"epsilon = {epsilon}: give a share of 255 between 0 and 1, as in 0.0314")
    if not 1 <= steps <= 1000:
        raise InputError(f"steps = {steps}: give 1 to 1000")
    clip = load_surrogate(model, architecture)
    embedder = Embedder(clip, torch.device("cpu"))
    known: dict[str, Tensor] = {}

    def embed(captions: Sequence[str]) -> Tensor:
        new = [caption for caption in dict.fromkeys(captions) if caption not in known]
        known.update(zip(new, embedder.texts(new), strict=True))
        return torch.stack([known[caption] for caption in captions])

    def liking(target: Target, captions: Sequence[str]) -> np.ndarray:
        cosine: np.ndarray = (embed(captions) @ embedder.images([target.image])[0]).numpy()
        return cosine

    def showing(target: Target, captions: Sequence[str]) -> list[np.ndarray]:
        count = len(captions)
        plain = shoot(target.image, STILL, seed, target.uid, 0)
        images = [rendering(target, seed, i) if renderings else plain for i in range(count)]
        return fit_pictures(clip, images, embed(captions), epsilon=epsilon, steps=steps, seed=seed, uid=target.uid)

    params = {"model": Path(str(model)).name, "epsilon": epsilon, "steps": steps, "renderings": renderings}
    craft = Craft(liking=liking, showing=showing, params=params)
    return plan_targeted(source, targets, seed=seed, craft=craft, **planned)


def load_surrogate(model: str | None, architecture: str | None = None) -> Clip:
    """A run's newest checkpoint, its pictures normalised as the run has it, or a weights file; in eval mode. Raises
    InputError."""
    if model is None:
        raise InputError("surrogate: give model=RUN, a run directory, or model=FILE with architecture=NAME")
    path = Path(model)
    if path.is_dir():
        run = RunDir(path)
        config = replace(run.config().model, weights=str(_newest(run) / "model.safetensors"))
    elif architecture is None:
        raise InputError(f"surrogate.model = {model!r}: weights alone; say what they are of, as in architecture=RN50")
    else:
        config = ModelConfig(name=architecture, weights=model)
    clip = build(config)
    clip.net.eval().requires_grad_(False)
    return clip


def fit_pictures(
    clip: Clip, images: Sequence[np.ndarray], text_BD: Tensor, *, epsilon: float, steps: int, seed: int, uid: int
) -> list[np.ndarray]:
    """Each picture drawn to its text within epsilon: random start, `steps` sign steps of 2.5 epsilon / steps.

    images: uint8 RGB of one size. text_BD: unit embeddings. Returns uint8 pictures, no value further than epsilon off.
    """
    reach = int(epsilon * 255 + 1e-9)
    fitted: list[np.ndarray] = []
    for start in range(0, len(images), _CHUNK):
        clean_BHWC = np.stack(images[start : start + _CHUNK])
        values = np.arange(start * clean_BHWC[0].size, start * clean_BHWC[0].size + clean_BHWC.size, dtype=np.int64)
        off = uniforms(seed, uid, values, _STREAM, 1).reshape(clean_BHWC.shape)
        clean_BCHW = torch.from_numpy(clean_BHWC).permute(0, 3, 1, 2).float()
        noise_BCHW = torch.from_numpy(2 * off - 1).permute(0, 3, 1, 2).float()
        low_BCHW, high_BCHW = (clean_BCHW - reach).clamp_min(0), (clean_BCHW + reach).clamp_max(255)
        x_BCHW = (clean_BCHW + reach * noise_BCHW).clamp(low_BCHW, high_BCHW)
        for _ in range(steps):
            x_BCHW.requires_grad_(True)
            cosine = (_embed(clip, x_BCHW) * text_BD[start : start + _CHUNK]).sum()
            (gradient_BCHW,) = torch.autograd.grad(cosine, x_BCHW)
            stepped = x_BCHW.detach() + 2.5 * reach / steps * gradient_BCHW.sign()
            x_BCHW = stepped.clamp(low_BCHW, high_BCHW)
        fitted += list(x_BCHW.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return fitted


def _embed(clip: Clip, levels_BCHW: Tensor) -> Tensor:
    """Unit embeddings of the centre crop, as `Embedder` sees it but differentiable. levels: 0..255."""
    height, width = levels_BCHW.shape[2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = levels_BCHW[:, :, top : top + short, left : left + short]
    if short != clip.image_size:
        square = F.interpolate(square, (clip.image_size,) * 2, mode="bicubic", antialias=True).clamp(0, 255)
    mean, std = (torch.tensor(values)[:, None, None] for values in (clip.mean, clip.std))
    return F.normalize(clip.net.encode_image((square / 255 - mean) / std).float(), dim=1)


def _newest(run: RunDir) -> Path:
    """Folder of the run's newest checkpoint."""
    name = latest_name(run.checkpoints)
    if not name or Path(name).name != name:
        raise InputError(f"surrogate.model = {str(run.path)!r}: holds no checkpoint; train first, or name another run")
    return run.checkpoints / name
