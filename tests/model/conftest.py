from __future__ import annotations

import pytest

from safeclip.model.build import Clip
from tests.model.models import moved, vit


@pytest.fixture(scope="session")
def emoji() -> Clip:
    return moved("safeclip-emoji")


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return vit(tmp_path_factory.mktemp("configs"))
