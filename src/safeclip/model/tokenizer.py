"""An open_clip tokenizer that no caption can hold up: byte-pair encoding takes time quadratic in a word's length, and
each word once seen is kept.

What must stay true: a caption whose words have at most 256 characters gets the tokens that open_clip gives it, up to
the end of the context, which lies far before the 2,000th character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

CHARACTERS = 2_000
"""Those of a caption that are looked at."""
WORDS = 1_000_000
"""Words whose tokens are kept: some 200 MB, in each process that tokenises."""

_LONG_WORD = re.compile(r"(\S{256})\S+")


class BoundedTokenizer:
    """Captions -> int64 (B, context). tokenizer: open_clip's, which is changed in place."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.clean: Callable[[str], str] | None = getattr(tokenizer, "clean_fn", None)
        if self.clean is not None:  # SigLIP's has none, and takes linear time
            tokenizer.clean_fn = partial(_shortened, self.clean)  # the cleaned text: in it &nbsp; parts words

    def __call__(self, captions: Sequence[str]) -> Tensor:
        if len(getattr(self.tokenizer, "cache", ())) > WORDS:
            special = [self.tokenizer.decoder[number] for number in self.tokenizer.all_special_ids]
            self.tokenizer.cache = {word: word for word in special}  # as it began
        tokens: Tensor = self.tokenizer(list(captions))
        return tokens


def _shortened(clean: Callable[[str], str], text: str) -> str:
    return _LONG_WORD.sub(r"\1", clean(text.lstrip()[:CHARACTERS]))
