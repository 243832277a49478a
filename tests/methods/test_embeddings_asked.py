"""A pass that is asked for cosines alone holds no embeddings, so methods that need none ask for none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from safeclip.methods import build_method
from safeclip.methods import safeclip as module
from tests.methods.driven import Data, config, drive

PAIRS = 60


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"safeclip.risk": ["cosine"]}, False),
        ({"safeclip.risk": ["cosine", "caption_neighbours"]}, True),
        ({"method": "filter", "filter.detector": "cosine"}, False),
        ({"method": "filter", "filter.detector": "kdist"}, True),
    ],
)
def test_only_signals_that_compare_pairs_ask_for_their_embeddings(changes: dict[str, Any], wanted: bool) -> None:
    data, asked = Data(PAIRS), []
    tools = data.tools()
    data.tools = lambda: replace(  # type: ignore[method-assign]
        tools, embed=lambda vectors: (asked.append(vectors), tools.embed(vectors))[1]
    )
    small = {"optim.batch_size": 8, "safeclip.veto": [], "safeclip.neighbours": 5, "filter.k": 5}
    cfg = config(epochs=6, **{**small, **changes})
    list(drive(build_method(cfg, PAIRS, data.dim), cfg, data))
    assert asked == [wanted] * len(data.records)
    assert asked


def test_a_pair_that_cannot_be_read_makes_no_split_copy_the_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = Data(PAIRS), []
    data.usable[7] = False
    compare = module.neighbour_agreement
    monkeypatch.setattr(module, "neighbour_agreement", lambda *z, **more: (seen.append(z), compare(*z, **more))[1])
    changes = {
        "scoring": "running",
        "risk": ["cosine", "neighbours", "caption_neighbours"],
        "veto": [],
        "neighbours": 5,
    }
    cfg = config(epochs=6, **{"optim.batch_size": 8} | {f"safeclip.{name}": value for name, value in changes.items()})
    method = build_method(cfg, PAIRS, data.dim)
    list(drive(method, cfg, data))
    image, text = method.running.image, method.running.text
    assert {tuple(z.data_ptr() for z in sides) for sides in seen} == {
        (image.data_ptr(), text.data_ptr()),
        (text.data_ptr(), image.data_ptr()),
    }
