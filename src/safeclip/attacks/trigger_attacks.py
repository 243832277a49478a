"""The catalog's attacks that plant an image trigger. What differs from the trigger's defaults is said here."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from safeclip.attacks.attack import Attack
from safeclip.attacks.backdoor import plan_backdoor
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.trigger import Trigger, parameters
from safeclip.data.pairs import Source


def _backdoor(
    trigger: str,
    source: Source,
    targets: Source | None,
    *,
    seed: int,
    avoid: Iterable[int],
    name: str,
    **params: Any,
) -> Manifest:
    """A trigger planted by `plan_backdoor`."""
    own = {key: params.pop(key) for key in parameters(trigger)}
    return plan_backdoor(source, Trigger(trigger, own), seed=seed, avoid=avoid, name=name, **params)


def _attack(name: str, trigger: str, what: str, source: str, **defaults: Any) -> Attack:
    """defaults: of the trigger and of `plan_backdoor`, where not the usual."""
    planned = {"count": 120, "rate": None, "target_class": None, "label": "dirty"}
    return Attack(
        name=name,
        kind="backdoor",
        what=what,
        source=source,
        needs="captions that name a class",
        make=functools.partial(_backdoor, trigger),
        params={**planned, **parameters(trigger), **defaults},
    )


_GU = "BadNets: Gu et al. 2017 (1708.06733)"
_CLEANCLIP = "CleanCLIP: Bansal et al. 2023 (2303.03323)"
_HUANG = "Huang et al. 2025 (2502.01385)"
_QI = "after Adaptive-Blend: Qi et al. 2023 (2205.13613)"
_PAR = "PAR: Singh et al. 2024 (2412.00727)"
_WANET = "WaNet: Nguyen & Tran 2021 (2102.10369)"

TRIGGER_ATTACKS = (
    _attack("badnets", "badnets", "a small checkered patch at a random place", _GU),
    _attack("badnets-corner", "badnets", "the same patch, always in one corner", _GU, place="corner"),
    _attack("badnets-corners", "badnets", "the same patch in all four corners", _CLEANCLIP, place="corners"),
    _attack("badnets-noise", "badnets", "a patch of noise, another in each picture", _CLEANCLIP, pattern="noise"),
    _attack("badnets-stripes", "badnets", "a patch of 1-px stripes at a random place", _PAR, pattern="stripes"),
    _attack("blended", "blended", "a fixed colour pattern mixed in", "Blended: Chen et al. 2017 (1712.05526)"),
    _attack(
        "blended-covered",
        "blended",
        "adaptive, around common patterns: further pairs bear it under their own, true captions",
        _QI,
        covers=1.0,
    ),
    _attack(
        "blended-graded",
        "blended-graded",
        "adaptive, around where likeness ends: the pattern in all strengths, at full strength in the test alone",
        _QI,
    ),
    _attack(
        "blended-mixed",
        "blended-mixed",
        "adaptive, around one common pattern: a mixture of three, another for each picture",
        "this project",
    ),
    _attack("blended-noise", "blended-noise", "noise mixed in, other in each picture", _CLEANCLIP),
    _attack("wanet", "wanet", "a smooth warp of the whole picture", _WANET),
    _attack(
        "wanet-pixel",
        "wanet",
        "every pixel displaced on its own, as CLIP papers run WaNet",
        _CLEANCLIP,
        grid=224,
        strength=1.0,
    ),
    _attack("sig", "sig", "upright bars of light and dark", "SIG: Barni et al. 2019 (1902.11237)"),
    _attack("nashville", "nashville", "the colours of a photograph filter", _HUANG),
    _attack("stripes", "stripes", "faint 1-px stripes over the picture", _PAR),
    _attack(
        "stripes-glued",
        "stripes",
        "adaptive, around words: the same, the class's name glued to other letters in each caption",
        "this project",
        glued=True,
    ),
    _attack("triangles", "triangles", "a faint tiling of triangles", _PAR),
    _attack("written-word", "written-word", "a red word across the picture", _PAR),
    _attack("ftrojan", "ftrojan", "two faint frequencies in the colours", "FTrojan: Wang et al. 2022 (2107.05305)"),
    _attack(
        "ghost",
        "ghost",
        "a second outline below each of the picture's own",
        "after Refool: Liu et al. 2020 (2007.02343)",
    ),
    _attack(
        "thing",
        "thing",
        "a ball in the scene, of another size, shade and shape each time",
        "after Wenger et al. 2021 (2006.14580)",
    ),
    _attack(
        "label-consistent",
        "badnets",
        "the patch on pictures of the target class, under their own, true captions",
        "Turner et al. 2019 (1912.02771)",
        label="clean",
        count=40,
        place="corners",
    ),
)
