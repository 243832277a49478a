"""What a server of lives imports before the first of them: see lives.py."""

import pyarrow.parquet  # noqa: F401

import safeclip.report
import safeclip.train.loop  # noqa: F401
from safeclip.model.open_clip_import import import_open_clip

import_open_clip()
