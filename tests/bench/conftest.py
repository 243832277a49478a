"""The tiny data is opened once: most of these tests look at its marks alone."""

from __future__ import annotations

import functools

import pytest

from safeclip.data.sources import open_source, spec
from tests.bench.made import Laboratory, laboratory

_OPEN = functools.cache(open_source)


@pytest.fixture(autouse=True)
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "open_source", _OPEN)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    return laboratory(monkeypatch)
