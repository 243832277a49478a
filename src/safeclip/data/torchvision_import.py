"""Import torchvision where its compiled operators do not fit the installed torch.

Only torchvision's Python parts are used here, by open_clip and timm too. A torchvision built for CUDA beside a torch
built for the CPU cannot load its compiled operators, and then fails on import, because it registers shape functions for
operators that do not exist. Declaring those operators first lets the import pass. Calling one still fails, as it
should; nothing here calls any.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import torch


def import_torchvision() -> ModuleType:
    """torchvision. Raises ImportError where it is not installed."""
    if "torchvision" not in sys.modules:
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                raise
            _declare_operators()
    return importlib.import_module("torchvision")


def _declare_operators() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    registrations = Path(spec.submodule_search_locations[0]) / "_meta_registrations.py"
    for operator in re.findall(r'register_fake\("(torchvision::\w+)"\)', registrations.read_text(encoding="utf-8")):
        torch.library.define(operator, "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
