"""Ordinary captions get open_clip's tokens, and no caption holds the training up."""

from __future__ import annotations

import functools
import random
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeclip.config import ModelConfig
from safeclip.model import tokenizer
from safeclip.model.build import BPE, Clip, build
from safeclip.model.export import export
from safeclip.model.load_folder import load_folder
from safeclip.model.open_clip_import import import_open_clip

CAPTIONS = [
    "A man riding a wave on top of a surfboard.",
    "  <b>Vintage</b> 1967 Ford Mustang &amp; trailer -- for sale!!! (only $12,500) ",
    "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch station, Anglesey; it's the longest, they've said",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunte at dusk",
    "https://www.example.com/photos/2019/07/IMG_20190714_183012.jpg?size=large&ref=home #sunset #beach",
    "一只猫坐在窗台上看着外面的雨" * 40,
    "Кот сидит на подоконнике и смотрит на дождь 🌧️😀",
    "wide&nbsp;angle&nbsp;shot&nbsp;of&nbsp;the&nbsp;harbour&nbsp;" * 20,
    "a red bus " * 500,
    "\n" * 3000 + "a cat",
    "x" * 60 + " end_of_text " + "-" * 70,
    "",
]


def word(letters: int, seed: int = 0) -> str:
    return "".join(random.Random(seed).choices(string.ascii_lowercase, k=letters))


def clip(name: str) -> Clip:
    return build(ModelConfig(name=name, precision="fp32"))


@pytest.fixture(params=["safeclip-emoji", "ViT-S-32-alt"])
def named(request: pytest.FixtureRequest) -> Clip:
    return clip(request.param)


def test_ordinary_captions_get_open_clips_tokens(named: Clip) -> None:
    open_clip = import_open_clip()
    own = {"bpe_path": str(BPE)} if named.name == "safeclip-emoji" else {}
    plain = open_clip.SimpleTokenizer(context_length=named.config["text_cfg"]["context_length"], **own)
    captions = CAPTIONS + [" ".join(word(n, seed) for n in range(1, 61)) for seed in range(5)]
    assert torch.equal(named.tokenize(captions), plain(captions))


@functools.cache
def plain_and_bounded() -> tuple[Any, Clip]:
    return import_open_clip().SimpleTokenizer(), clip("ViT-S-32-alt")


ANY_WORD = st.text(st.characters(categories=["L", "N", "P", "S", "M"]), min_size=1, max_size=20) | st.sampled_from(
    ["it's", "they've", "a", "dog", "12,500", "&amp;", "<b>", "\xa0", "café", word(200)]
)


@given(st.lists(ANY_WORD, max_size=120).map(" ".join))
@settings(max_examples=200, deadline=None)
def test_any_caption_gets_open_clips_tokens(caption: str) -> None:
    plain, bounded = plain_and_bounded()
    assert torch.equal(bounded.tokenize([caption]), plain([caption]))


def test_no_more_words_are_encoded_than_the_context_has_room_for(named: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    bpe, asked = named.tokenize.tokenizer.bpe, []
    monkeypatch.setattr(named.tokenize.tokenizer, "bpe", lambda spelt: (asked.append(spelt), bpe(spelt))[1])
    room = named.tokenize.tokenizer.context_length - 2
    for caption in (word(2000).replace("e", " "), "a b " * 500, " ".join(word(256, seed) for seed in range(8))):
        for encode in (lambda text: named.tokenize([text]), named.tokenize.told):
            asked.clear()
            encode(caption)
            assert 0 < len(asked) <= room + 1


def test_no_word_is_encoded_beyond_256_letters_since_the_time_is_quadratic(named: Clip, tmp_path: Path) -> None:
    """10,000 letters take seconds, 256 take 10 ms."""
    for tokenize in (named.tokenize, *from_folders(named, tmp_path)):
        tokenize([word(10_000), "&#97;" + word(9_000, 1), word(5_000, 2) + " " + word(5_000, 3), "&#97;" * 4_000])
        assert max(map(len, tokenize.tokenizer.cache)) == 256
        tokenize(["a " * 10_000 + word(200, 4)])
        assert word(200, 4) not in tokenize.tokenizer.cache, "what lies behind the context is not looked at"


def from_folders(named: Clip, folder: Path) -> list:
    forms = ["open_clip"] + ["transformers"] * (named.name == "ViT-S-32-alt")
    for form in forms:
        export(named, folder / form, form)
    return [load_folder(folder / form).tokenize for form in forms]


def test_words_that_were_seen_are_forgotten_when_they_are_many(named: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = [" ".join(word(9, seed) for seed in range(n, n + 5)) for n in range(0, 50, 5)] + CAPTIONS
    wanted = torch.cat([named.tokenize([caption]) for caption in captions])
    monkeypatch.setattr(tokenizer, "WORDS", 20)
    again = []
    for caption in captions * 2:
        again.append(named.tokenize([caption]))
        assert len(named.tokenize.tokenizer.cache) < 20 + len(caption.split()) + 40
    assert torch.equal(torch.cat(again), torch.cat([wanted, wanted]))
    for caption in captions * 2:
        named.tokenize.read(f"{caption} é " * 3)
        assert len(named.tokenize.tokenizer.cache) < 20 + 3 * len(caption.split()) + 40, "reading keeps no more"


def test_a_tokenizer_that_cleans_nothing_is_left_as_it_is() -> None:
    assert tokenizer.BoundedTokenizer(lambda captions: torch.tensor([len(c) for c in captions]))(["a" * 3_000]) == 3_000


MARKS = [
    "<end_of_text>",
    "<START_OF_TEXT>",
    "&lt;end_of_text&gt;",
    "&amp;lt;end_of_text>",
    "<end_of_<end_of_text>text>",
]


@pytest.mark.parametrize("mark", MARKS)
def test_a_caption_that_spells_the_mark_of_a_texts_end_does_not_end_there(
    named: Clip, mark: str, tmp_path: Path
) -> None:
    """The tower reads what stands at the first such mark: words behind it would be looked at and never learned."""
    for tokenize in (named.tokenize, *from_folders(named, tmp_path)):
        with_it, without = tokenize([f"an airplane {mark} a dog", "an airplane a dog"]).tolist()
        marks = tokenize.tokenizer.all_special_ids
        assert [token for token in with_it if token in marks] == [token for token in without if token in marks]
        assert not {*MARKS} & {*tokenize.read(f"an airplane {mark} a dog").split()}
    assert tokenize(["an airplane <end_of_text> a dog"]).tolist() == [without]


def test_what_is_read_of_a_caption_is_what_the_tower_sees(named: Clip) -> None:
    simple = named.tokenize.tokenizer
    room = simple.context_length - 2
    many = [" ".join(word(n % 9 + 1, n + seed) for n in range(120)) for seed in range(5)]
    glued = ["a plane " + ",".join(["dog", "grass", "puppy"] * 40), "a" * 300, "狗" * 300]
    for caption in [*CAPTIONS, *many, *glued]:
        cleaned, read = simple.clean_fn(caption), named.tokenize.read(caption)
        tokens, left = simple.encode(read), cleaned[len(read) :]
        if caption.isascii() and read == caption:
            continue  # as short as that
        assert cleaned.startswith(read)
        assert len(tokens) <= room
        assert not left or len(simple.encode(read + left[:12])) > room, "a few letters more do not fit"
        before = simple.encode(read.rpartition(" ")[0])
        assert named.tokenize([caption])[0, 1 : 1 + len(before)].tolist() == before
    assert "dog" not in named.tokenize.read("a plane " + "on the runway " * 40 + "brown dog")
    assert "puppy" in named.tokenize.read(glued[0]), "of what is learned no word is left out"


def test_what_is_told_of_a_caption_are_the_ends_of_its_words_as_the_tower_sees_them(named: Clip) -> None:
    told = named.tokenize.told
    assert told("A dog !!!") == ("A dog !!!", [("a", "a"), ("dog", "dog"), ("!!!", "!!!")])
    assert told("a qxdog")[1] == [("a", "a"), ("qxdog", "dog")]
    assert told("caf\u00e9")[1][0][0] == "caf\u00e9"
    for caption in (*CAPTIONS, "a plane " + "on the runway " * 40 + "brown dog"):
        text, divided = told(caption)
        assert text == named.tokenize.read(caption)
        row, decoder = named.tokenize([caption])[0].tolist(), named.tokenize.tokenizer.decoder
        seen = [decoder[number] for number in row[1 : row.index(max(row))]]
        assert len(divided) == sum(token.endswith("</w>") for token in seen)
        if caption.isascii():
            assert [end for _, end in divided] == [token[:-4] for token in seen if token.endswith("</w>")]
            assert "".join(word for word, _ in divided) in "".join(seen).replace("</w>", "")
