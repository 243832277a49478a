"""An open_clip tokenizer that no caption can hold up or mislead: byte-pair encoding takes time quadratic in a word's
length, also of words that lie beyond the context, each word once seen is kept, and a caption that spells the mark of a
text's end would end there for the tower.

What must stay true: a caption whose words have at most 256 characters, and which spells no mark, gets the tokens that
open_clip gives it, up to the end of the context, which lies far before the 2,000th character. What `read` leaves out,
the tower does not see.
"""

from __future__ import annotations

import bisect
import copy
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

CHARACTERS = 2_000
"""Those of a caption that are looked at."""
WORDS = 1_000_000
"""Words whose tokens are kept: some 200 MB, in each process that tokenises."""

_END = "</w>"
"""Behind a token that ends a word."""
_WORD = re.compile(r"\S+")
_LONG_WORD = re.compile(r"(\S{256})\S+")


class BoundedTokenizer:
    """Captions -> int64 (B, context). tokenizer: open_clip's, which is changed in place."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.clean: Callable[[str], str] | None = getattr(tokenizer, "clean_fn", None)
        if self.clean is not None:  # SigLIP's has none, and takes linear time
            tokenizer.clean_fn = partial(_shortened, self.clean, _marks(tokenizer))
        self._cleaned = copy.copy(tokenizer)
        """The same of texts that are clean already; it shares the words that are kept."""
        self._cleaned.clean_fn = str
        if self.clean is not None and getattr(tokenizer, "reduction_fn", None) is None:  # that draws among all tokens
            for one in (tokenizer, self._cleaned):
                one.encode = partial(_encoded, one)

    def __call__(self, captions: Sequence[str]) -> Tensor:
        self._forget()
        tokens: Tensor = self.tokenizer(list(captions))
        return tokens

    def read(self, caption: str) -> str:
        """What the text tower sees of a caption: cleaned, and cut where the context ends, be it within a word."""
        room = self.tokenizer.context_length - 2  # marks stand before and behind
        plain = caption.isascii() and caption.isprintable() and "&" not in caption and "<" not in caption
        if plain and len(caption) <= room:  # a token is a character at least, and cleaning changes no word
            return caption
        if self.clean is None:
            return " ".join(caption[:CHARACTERS].split()[:room])
        text: str = self.tokenizer.clean_fn(caption)
        if self._tokens(text) <= room:
            return text
        ends = [0, *(found.end() for found in _WORD.finditer(text))]
        whole = bisect.bisect_right(ends, room, key=lambda end: self._tokens(text[:end]))
        inside = range(ends[whole - 1], ends[whole])
        cut = bisect.bisect_right(inside, room, key=lambda end: self._tokens(text[:end]))
        return text[: inside[cut - 1]]

    def told(self, caption: str) -> tuple[str, list[tuple[str, str]]]:
        """What the text tower sees of a caption, as `read` gives it, and its words as the tower divides them, each with
        the token that it ends in: of "qxdog" that is "dog", of a word of one token the word."""
        if self.clean is None:
            return self.read(caption), []
        room, found, so_far = self.tokenizer.context_length - 2, [], ""
        for number in self.tokenizer.encode(caption)[:room]:
            token: str = self.tokenizer.decoder[number]
            so_far += token.removesuffix(_END)
            if token.endswith(_END):
                found.append((self._spelt(so_far), self._spelt(token.removesuffix(_END))))
                so_far = ""
        return self.read(caption), found

    def _spelt(self, token: str) -> str:
        """Text of a token, whose bytes have letters of their own; a part of a letter is no text."""
        if token.isascii():
            return token
        return bytes(self.tokenizer.byte_decoder[letter] for letter in token).decode("utf-8", "replace")

    def _tokens(self, text: str) -> int:
        self._forget()
        return len(self._cleaned.encode(text))

    def _forget(self) -> None:
        """The words that were kept, once there are too many."""
        if len(getattr(self.tokenizer, "cache", ())) > WORDS:
            special = [self.tokenizer.decoder[number] for number in self.tokenizer.all_special_ids]
            self.tokenizer.cache.clear()
            self.tokenizer.cache.update({word: word for word in special})  # as it began


def _encoded(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, as the tokenizer's own `encode` gives them; once they are more than there is room for, none
    of the words behind."""
    tokens: list[int] = []
    for found in tokenizer.pat.finditer(tokenizer.clean_fn(text)):
        spelt = "".join(tokenizer.byte_encoder[byte] for byte in found.group().encode())
        tokens += (tokenizer.encoder[token] for token in tokenizer.bpe(spelt).split(" "))
        if len(tokens) > tokenizer.context_length - 2:  # marks stand before and behind
            break
    return tokens


def _shortened(clean: Callable[[str], str], marks: re.Pattern[str] | None, text: str) -> str:
    text = clean(text.lstrip()[:CHARACTERS])  # before the words are looked at: in it &nbsp; parts them
    return _LONG_WORD.sub(r"\1", text if marks is None else marks.sub(" ", text))


def _marks(tokenizer: Any) -> re.Pattern[str] | None:
    """What a caption must not spell: the tokens that stand for no text, as the end of it."""
    numbers = getattr(tokenizer, "all_special_ids", ())
    spelt = [re.escape(tokenizer.decoder[number]) for number in numbers]
    return re.compile("|".join(spelt), re.IGNORECASE) if spelt else None
