"""Shared by all folders: one tiny trained run, and examples that are the same every time, however busy the machine."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import hypothesis
import pytest

from safeclip.run import RunDir
from tests import tiny

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest for the tiny data: two targeted pictures and a patch."""
    return tiny.plant(tmp_path_factory.mktemp("planted") / "manifest.parquet")


@pytest.fixture(scope="session")
def tiny_run(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """`safeclip train` on the tiny data, every step logged. Read it; to change it, copy it."""
    out = tmp_path_factory.mktemp("tiny") / "run"
    with mock.patch("safeclip.train.loop.LOG_EVERY", 1):
        assert tiny.train(out, planted) == 0
    return RunDir(out)
