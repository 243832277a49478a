"""A run, whole: every number that shapes it, frozen and checked, written to RUN/config.yaml and read back from it.

Each part is a keyword-only frozen dataclass with a line under each field. A field that departs from the paper says
what the paper does. Errors name the field, the value and the mend. A preset (presets.py) is a function that returns a
RunConfig.
"""

from safeclip.config.methods import (
    DETECTORS,
    SIGNALS,
    VETOES,
    CleanclipConfig,
    FilterConfig,
    RoclipConfig,
    SafeclipConfig,
)
from safeclip.config.parts import DataConfig, ModelConfig, OptimConfig, ViewsConfig
from safeclip.config.plain import from_dict, override, to_dict
from safeclip.config.run_config import METHOD_NAMES, RunConfig
from safeclip.config.yaml_text import read_yaml, write_yaml

__all__ = [
    "DETECTORS",
    "METHOD_NAMES",
    "SIGNALS",
    "VETOES",
    "CleanclipConfig",
    "DataConfig",
    "FilterConfig",
    "ModelConfig",
    "OptimConfig",
    "RoclipConfig",
    "RunConfig",
    "SafeclipConfig",
    "ViewsConfig",
    "from_dict",
    "override",
    "read_yaml",
    "to_dict",
    "write_yaml",
]
