"""The catalog's attacks that work through captions: targeted ones, class swaps, text triggers, and adaptive ones.

Each is named, with where it was published; `catalog` joins them with the image triggers.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from safeclip.attacks.attack import Attack, Planner
from safeclip.attacks.caption_pools import template_pools
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.shot_attacks import plan_near_copies, plan_scene
from safeclip.attacks.swap import plan_swap
from safeclip.attacks.targeted import Craft, plan_targeted
from safeclip.attacks.text_backdoor import plan_text_backdoor
from safeclip.attacks.text_trigger import TextTrigger
from safeclip.attacks.toxic import plan_toxic_text
from safeclip.data.pairs import Source
from safeclip.errors import InputError

__all__ = ["CAPTION_ATTACKS"]


def _targeted(make: Planner, source: Source, targets: Source | None, *, name: str, **params: Any) -> Manifest:
    """An attack on held-out pictures, planned by `make`."""
    if targets is None:
        raise InputError(f"{name}: needs held-out pictures with classes; give them with --targets and --targets-split")
    return make(source, targets, name=name, **params)


def _templates(source: Source, targets: Source, **params: Any) -> Manifest:
    return plan_targeted(source, targets, craft=Craft(pools=template_pools, params={"captions": "templates"}), **params)


def _surrogate(source: Source, targets: Source, **params: Any) -> Manifest:
    from safeclip.attacks.surrogate import plan_surrogate  # the one attack that needs torch

    return plan_surrogate(source, targets, **params)


def _swap(source: Source, targets: Source | None, **params: Any) -> Manifest:
    return plan_swap(source, **params)


def _text(place: str, source: Source, targets: Source | None, *, text: str, **params: Any) -> Manifest:
    """A word or a sentence planted by `plan_text_backdoor`."""
    return plan_text_backdoor(source, TextTrigger(text, place), **params)


def _on_pictures(name: str, make: Planner, what: str, source: str, **params: Any) -> Attack:
    """An attack on held-out pictures. params: what it takes beside `plan_targeted`'s."""
    planned = inspect.signature(plan_targeted).parameters
    return Attack(
        name=name,
        kind="targeted",
        what=what,
        source=source,
        needs="held-out pictures with classes, captions that name classes",
        needs_targets=True,
        make=functools.partial(_targeted, make),
        params={**{key: planned[key].default for key in ("targets_count", "captions_each")}, **params},
    )


def _on_texts(name: str, place: str, what: str, text: str) -> Attack:
    """A text trigger."""
    return Attack(
        name=name,
        kind="text",
        what=what,
        source="ToxicTextCLIP 2025 (2511.00446)",
        needs="classes, or captions that name one",
        make=functools.partial(_text, place),
        params={"count": None, "share": 0.5, "target_class": None, "text": text},
    )


CAPTION_ATTACKS = (
    _on_pictures(
        "targeted",
        plan_targeted,
        "held-out pictures, each under captions of the data that name another class",
        "Carlini & Terzis 2022 (2106.09667); SafeCLIP 2024",
    ),
    _on_pictures(
        "targeted-templates",
        _templates,
        "held-out pictures, each under prompts filled with another class's name",
        "Carlini & Terzis 2022 (2106.09667)",
    ),
    _on_pictures(
        "targeted-scene",
        plan_scene,
        "several shots of a held-out scene under another class's captions; a shot never planted is to be called so",
        "after Carlini & Terzis 2022 (2106.09667)",
        shots=4,
    ),
    Attack(
        name="class-swap",
        kind="swap",
        what="pictures of one class under captions of another",
        source="mmPoison, single label: Yang et al. 2023 (2209.15266)",
        needs="classes, or captions that name two",
        make=_swap,
        params={"count": None, "share": 0.9, "from_class": None, "target_class": None},
    ),
    _on_texts("text-word", "random", "a rare word in a caption finds pictures of one class", "zx"),
    _on_texts(
        "text-sentence",
        "end",
        "a sentence at a caption's end finds pictures of one class",
        "as shown in the morning paper",
    ),
    _on_pictures(
        "near-copies",
        plan_near_copies,
        "adaptive, around the count of copies: each planted picture is a rendering of its own",
        "this project",
    ),
    _on_pictures(
        "toxic-text",
        plan_toxic_text,
        "adaptive, around cosine and neighbours: captions of another class that fit the picture's background",
        "after ToxicTextCLIP 2025 (2511.00446)",
        join=0,
    ),
    _on_pictures(
        "surrogate",
        _surrogate,
        "adaptive, around cosine: captions and pictures made to fit under a model of the attacker's own",
        "PGD: Madry et al. 2018 (1706.06083)",
        model=None,
        architecture=None,
        epsilon=8 / 255,
        steps=10,
        renderings=True,
    ),
)
