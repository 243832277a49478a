"""How a model wants its pictures, in open_clip's words and in transformers'.

Mean and standard deviation are taken over. What must stay true: everything else is done one way here, the shorter side
resized to the model's with bicubic weights, the middle cut out, values divided by 255 and normalised; a model that asks
for something else is refused, and what it leaves out is its library's default, which is the same.
"""

from __future__ import annotations

import math
from typing import Any

from safeclip.errors import InputError

_RESIZED = {"resize_mode": "shortest", "interpolation": "bicubic"}
_LARGEST = 1e9


def open_clip_pictures(about: dict[str, Any]) -> dict[str, Any]:
    """Mean, std, resize_mode and interpolation of a preprocess_cfg, with open_clip's own where it has none."""
    from open_clip.transform import PreprocessCfg  # late: open_clip takes seconds

    usual = PreprocessCfg()
    found = {}
    for name in ("mean", "std", *_RESIZED):
        value = getattr(usual, name) if about.get(name) is None else about[name]
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def open_clip_normalisation(about: dict[str, Any], where: str) -> dict[str, tuple[float, ...]]:
    """Mean and std of a preprocess_cfg. Raises InputError where they are none, or its pictures are resized otherwise.

    where: what an error's line begins with, up to the key.
    """
    pictures = open_clip_pictures(about)
    for name, usual in _RESIZED.items():
        _same(f"{where}{name}", pictures[name], usual)
    return {name: three_numbers(pictures[name], f"{where}{name}") for name in ("mean", "std")}


def transformers_normalisation(about: dict[str, Any], where: str, side: int) -> dict[str, tuple[float, ...]]:
    """Mean and std of a preprocessor_config.json, those that it gives. Raises InputError as for open_clip's.

    side: of the model's pictures, in px.
    """
    for name in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        _same(f"{where}{name}", about.get(name, True), True)
    for name, usual in (("size", {"shortest_edge": side}), ("crop_size", {"height": side, "width": side})):
        given = about.get(name, side)
        if type(given) is not int or given != side:  # old versions write the number alone
            _same(f"{where}{name}", given, usual)
    _same(f"{where}resample", about.get("resample", 3), 3)  # Pillow's number of bicubic
    factor = about.get("rescale_factor", 1 / 255)
    if not isinstance(factor, float) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        _same(f"{where}rescale_factor", factor, 1 / 255)
    names = (("mean", "image_mean"), ("std", "image_std"))
    return {ours: three_numbers(about[theirs], f"{where}{theirs}") for ours, theirs in names if theirs in about}


def three_numbers(values: Any, what: str) -> tuple[float, ...]:
    """The three channels' mean or standard deviation; `what` names them, and ends in mean or std. Raises InputError."""
    whole = isinstance(values, (list, tuple)) and len(values) == 3 and all(type(v) in (int, float) for v in values)
    if not whole or not all(abs(v) < _LARGEST for v in values):
        raise InputError(f"{what} = {str(values)[:40]}; give three numbers")
    if what.endswith("std") and min(values) <= 0:
        raise InputError(f"{what} = {str(values)[:40]}; give three numbers above 0")
    return tuple(float(value) for value in values)


def _same(what: str, given: Any, usual: Any) -> None:
    if type(given) is not type(usual) or given != usual:
        raise InputError(f"{what} = {repr(given)[:60]}; pictures are not prepared so here, only with {usual!r}")
