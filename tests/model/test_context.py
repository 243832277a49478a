"""Cut captions give the embeddings and the gradients of uncut ones, in every tower that is cut; others are not cut."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from safeclip.config import ModelConfig
from safeclip.model.build import Clip, build
from safeclip.model.context import LENGTHS, Cut, cut_for, encode_text
from safeclip.model.embed import Embedder
from tests.model.models import moved, vit
from tests.train import toy

TEXTS = ["a cat", "a drawing of two dogs", "x", ""]
CPU = torch.device("cpu")


def towers(folder: Path, kind: str) -> Clip:
    if kind == "safeclip-emoji":
        return moved(kind)
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    if kind == "eos":
        text |= {"pool_type": "eos", "eos_id": 49407}
    return vit(folder, f"test-cut-{kind}", text_cfg=text, custom_text=kind == "custom")


def gradients(clip: Clip, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    clip.net.zero_grad()
    embedding = encode_text(clip.net, tokens)
    (embedding * torch.linspace(-1, 1, embedding.numel()).view_as(embedding)).sum().backward()
    return {name: p.grad.clone() for name, p in clip.net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["safeclip-emoji", "plain", "custom", "eos"])
def test_cut_captions_have_the_embeddings_and_gradients_of_whole_ones(tmp_path: Path, kind: str) -> None:
    clip = towers(tmp_path, kind)
    cut, whole = cut_for(clip.net), clip.tokenize(TEXTS)
    assert cut is not None
    short = cut(whole)
    assert short.shape == (4, 8)
    assert short.shape[1] < whole.shape[1]
    with torch.no_grad():
        wanted = clip.net.encode_text(whole)
        torch.testing.assert_close(encode_text(clip.net, short), wanted, rtol=1e-4, atol=1e-6)
        assert torch.equal(encode_text(clip.net, whole), wanted)
    found, wanted_grads = gradients(clip, short), gradients(clip, whole)
    assert set(found) == set(wanted_grads)
    for name, gradient in wanted_grads.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_a_cut_one_token_shorter_would_show(tmp_path: Path) -> None:
    clip = towers(tmp_path, "plain")
    whole = clip.tokenize(["a drawing of two dogs"])
    needed = int(whole.argmax(-1)) + 1
    with torch.no_grad():
        wanted = clip.net.encode_text(whole)
        torch.testing.assert_close(encode_text(clip.net, whole[:, :needed]), wanted, rtol=1e-4, atol=1e-6)
        assert (encode_text(clip.net, whole[:, : needed - 1]) - wanted).abs().max() > 1e-2


@pytest.mark.parametrize("needed", range(1, 78))
def test_the_cut_is_the_next_length_that_holds_the_longest_caption(needed: int) -> None:
    tokens = torch.zeros(2, 3, 77, dtype=torch.long)
    tokens[..., 0] = 9
    tokens[1, 2, needed - 1] = 10
    cut = Cut(77)(tokens)
    assert cut.shape[-1] == min(n for n in (*LENGTHS, 77) if n >= needed)
    assert torch.equal(cut, tokens[..., : cut.shape[-1]])
    assert cut.is_contiguous()


def test_captions_that_fill_the_context_stay_whole() -> None:
    clip = build(ModelConfig(name="safeclip-emoji", precision="fp32"))
    tokens = clip.tokenize(["a dog", "a " * 100])
    cut = cut_for(clip.net)
    assert cut is not None
    assert torch.equal(cut(tokens), tokens)


def test_no_captions_are_cut_to_nothing() -> None:
    assert Cut(77)(torch.empty(2, 0, 1, dtype=torch.long)).shape == (2, 0, 1)


@pytest.mark.parametrize("text", [{"no_causal_mask": True, "pool_type": "last"}, {"no_causal_mask": True},
                                  {"pool_type": "last"},
                                  {"embed_cls": True}])  # fmt: skip
def test_towers_that_look_behind_a_caption_keep_their_context(tmp_path: Path, text: dict[str, object]) -> None:
    tower = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2} | text
    clip = vit(tmp_path, f"test-uncut-{len(str(text))}", text_cfg=tower, custom_text=True)
    assert cut_for(clip.net) is None


def test_a_text_tower_of_another_kind_is_left_alone() -> None:
    clip = toy.clip()
    tokens = torch.randint(0, toy.WORDS, (3, 5))
    assert cut_for(clip.net) is None
    assert torch.equal(encode_text(clip.net, tokens), clip.net.encode_text(tokens))


def test_the_embedder_cuts_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(moved("safeclip-emoji"), CPU)
    cut = embedder.texts(TEXTS)
    seen = []
    monkeypatch.setattr("safeclip.model.embed.encode_text", lambda net, t: seen.append(t.shape) or encode_text(net, t))
    assert torch.equal(embedder.texts(TEXTS), cut)
    assert seen == [(4, 8)]
    embedder.cut = None
    torch.testing.assert_close(embedder.texts(TEXTS), cut, rtol=1e-4, atol=1e-6)
