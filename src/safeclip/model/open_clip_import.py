"""Import open_clip, which imports torchvision: with torchvision first, so that a mismatched one does no harm
(data/torchvision_import.py).
"""

from __future__ import annotations

import importlib
from types import ModuleType

from safeclip.data.torchvision_import import import_torchvision


def import_open_clip() -> ModuleType:
    """open_clip. Raises ImportError where it or torchvision is not installed."""
    import_torchvision()
    return importlib.import_module("open_clip")
