"""Fast calls give what slow ones give: views together, compiled batches, checkpointed blocks; and each falls back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from safeclip.config import ModelConfig
from safeclip.data.image_views import COLOUR_DRAWS
from safeclip.data.loader import Inputs
from safeclip.errors import InputError
from safeclip.methods import build_method
from safeclip.model.build import Clip, build, checkpoint_gradients
from safeclip.model.context import cut_for
from safeclip.train.step import Stepper
from safeclip.train.towers import Towers
from tests.methods.driven import config
from tests.model.models import vit
from tests.train import toy

CPU = torch.device("cpu")
PAIRS = 6


def views(clip: Clip, count: int = 2, pairs: int = PAIRS, words: int = 3) -> tuple[list[Any], list[Any]]:
    random = torch.Generator().manual_seed(0)
    side = clip.image_size
    pixels = [torch.randn(pairs, 3, side, side, generator=random) for _ in range(count)]
    texts = [[" ".join(["dog"] * words) + f" {v} {i}" for i in range(pairs)] for v in range(count)]
    cut = cut_for(clip.net)
    assert cut is not None
    return pixels, list(cut(torch.stack([clip.tokenize(some) for some in texts])))


def calls_of(net: nn.Module, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each call."""
    rows: list[int] = []
    real = getattr(net, name)
    monkeypatch.setattr(net, name, lambda x: rows.append(len(x)) or real(x))
    return rows


def test_two_views_are_one_call_and_the_embeddings_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = vit(tmp_path)
    towers, (pixels, tokens) = Towers(clip.net, "fp32", CPU), views(clip)
    rows = calls_of(clip.net, "encode_image", monkeypatch)
    image, text = towers(pixels, tokens, (True, True))
    assert rows == [2 * PAIRS]
    for v in (0, 1):
        (alone_image,), (alone_text,) = towers([pixels[v]], [tokens[v]], (True,))
        torch.testing.assert_close(image[v], alone_image, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(text[v], alone_text, rtol=1e-4, atol=1e-6)


def test_a_view_without_gradient_costs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = vit(tmp_path)
    rows = calls_of(clip.net, "encode_image", monkeypatch)
    image, text = Towers(clip.net, "fp32", CPU)(*views(clip), (False, True))
    assert rows == [PAIRS, PAIRS]
    assert [e.requires_grad for e in (*image, *text)] == [False, True, False, True]


def test_batch_norm_sees_each_view_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = build(ModelConfig(name="safeclip-emoji", precision="fp32"))
    other = build(ModelConfig(name="safeclip-emoji", precision="fp32"))
    pixels, tokens = views(clip)
    rows = calls_of(clip.net, "encode_image", monkeypatch)
    image, _ = Towers(clip.net.train(), "fp32", CPU)(pixels, tokens, (True, True))
    assert rows == [PAIRS, PAIRS]
    other.net.train()
    for v in (0, 1):
        torch.testing.assert_close(image[v], toy.unit(other.net.encode_image(pixels[v])))
    norms = [net.visual.trunk.stem[1] for net in (clip.net, other.net)]
    torch.testing.assert_close(norms[0].running_mean, norms[1].running_mean)
    assert int(norms[0].num_batches_tracked) == 2


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """torch.compile with a backend that compiles nothing and keeps count of what it was given."""
    torch._dynamo.reset()
    found: list[int] = []

    def backend(graph: Any, example: Any) -> Callable[..., Any]:
        found.append(1)
        return graph.forward

    real = torch.compile
    monkeypatch.setattr(
        "torch.compile", lambda f, *, mode=None, **given: real(f, backend=backend, dynamic=False, recompile_limit=64)
    )
    yield found
    torch._dynamo.reset()


def compiled_stepper(clip: Clip, notes: list[str] | None = None, **changes: Any) -> Stepper:
    cfg = config(**{"model.compile": "default", "optim.batch_size": PAIRS, "safeclip.pool_size": 4, **changes})
    said = [] if notes is None else notes
    return Stepper(clip, build_method(cfg, 100, clip.dim), cfg, "fp32", CPU, said.append)


def batch(clip: Clip, objective: str, pairs: int, words: int) -> Inputs:
    count = 2 if objective == "unimodal" else 1
    random = torch.Generator().manual_seed(words)
    side = clip.image_size
    return Inputs(
        uids=torch.arange(pairs).numpy(),
        objective=objective,
        images=torch.randint(0, 256, (count, pairs, side, side, 3), dtype=torch.uint8, generator=random),
        colour=torch.rand(count, pairs, COLOUR_DRAWS, generator=random),
        tokens=torch.stack(views(clip, count, pairs, words)[1]),
    )


def test_nothing_is_compiled_again_once_every_length_was_seen(tmp_path: Path, graphs: list[int]) -> None:
    clip = vit(tmp_path)
    made = compiled_stepper(clip)
    for words in (2, 7):
        for objective in ("clip", "unimodal", "clip", "unimodal"):
            made(batch(clip, objective, PAIRS, words), 1e-3)
    seen = len(graphs)
    assert seen >= 4
    for words in (7, 2, 3, 6):
        for objective in ("unimodal", "clip"):
            for pairs in (PAIRS, PAIRS - 1, 3, 2, PAIRS):  # short last batches run as they are
                made(batch(clip, objective, pairs, words), 1e-3)
    assert len(graphs) == seen


@pytest.mark.parametrize("objective", ["clip", "unimodal"])
def test_a_compiled_step_is_the_step(tmp_path: Path, objective: str, graphs: list[int]) -> None:
    plain, fast = vit(tmp_path), vit(tmp_path)
    for clip, mode in ((plain, None), (fast, "default")):
        made = compiled_stepper(clip, **{"model.compile": mode})
        for _ in range(2):
            made(batch(clip, objective, PAIRS, 3), 1e-3)
    assert graphs
    for (name, wanted), found in zip(plain.net.named_parameters(), fast.net.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6, msg=name)


def test_where_nothing_can_be_compiled_training_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(graph: Any, example: Any) -> Callable[..., Any]:
        raise RuntimeError("no compiler on this machine")

    real = torch.compile
    monkeypatch.setattr("torch.compile", lambda f, **_: real(f, backend=backend))
    plain, broken, notes = vit(tmp_path), vit(tmp_path), []
    for clip, mode in ((plain, None), (broken, "default")):
        made = compiled_stepper(clip, notes, **{"model.compile": mode})
        for _ in range(3):
            made(batch(clip, "clip", PAIRS, 3), 1e-3)
    assert len(notes) == 1
    assert notes[0].startswith("model.compile = default: not compiled (")
    assert "no compiler on this machine" in notes[0]
    for wanted, found in zip(plain.net.parameters(), broken.net.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


def test_an_error_of_the_towers_own_is_not_taken_for_a_failure_to_compile(tmp_path: Path, graphs: list[int]) -> None:
    clip, notes = vit(tmp_path), []
    made = compiled_stepper(clip, notes)
    inputs = batch(clip, "clip", PAIRS, 3)
    inputs.colour = inputs.colour[:, :2]
    with pytest.raises((RuntimeError, IndexError)):
        made(inputs, 1e-3)
    assert notes == []


def test_checkpointed_blocks_have_the_gradients_of_kept_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, again = vit(tmp_path), vit(tmp_path)
    checkpoint_gradients(again)
    ran = []
    monkeypatch.setattr("open_clip.transformer.checkpoint", _counting(ran))
    for clip in (kept, again):
        made = compiled_stepper(clip, **{"model.compile": None})
        made.optimizer.step = lambda: None
        made.optimizer.zero_grad = lambda set_to_none: None
        made(batch(clip, "clip", PAIRS, 3), 1e-3)
    assert len(ran) == 4, "two blocks a tower"
    for wanted, found in zip(kept.net.parameters(), again.net.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def _counting(ran: list[int]) -> Callable[..., Any]:
    from torch.utils.checkpoint import checkpoint

    return lambda *given, **named: ran.append(1) or checkpoint(*given, **named)


@pytest.mark.parametrize("name", ["safeclip-emoji", "safeclip-64px"])
def test_towers_with_batch_norm_are_not_checkpointed(name: str) -> None:
    with pytest.raises(InputError, match=r"model.grad_checkpointing = True: .*optim.accumulate"):
        checkpoint_gradients(build(ModelConfig(name=name, precision="fp32")))
