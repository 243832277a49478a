"""A trigger for captions: a word or a sentence, put in at one place (ToxicTextCLIP, 2511.00446).

    random  a dog on a sofa -> a dog zx on a sofa        before or after any of its words
    end     a dog on a sofa -> a dog on a sofa, seen ...

What must stay true: the rest of the caption stays as it is, letter by letter, and the place depends on seed, uid and
stream alone. Planting and evaluation call the same function.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from safeclip.data.draws import uniforms
from safeclip.errors import InputError

PLACES = ("random", "end")
MAX_CHARS = 200
_STREAM = 0xBAD7  # keeps these draws apart from picture triggers'; evaluation adds 1
_GAP = re.compile(r"\s+")


@dataclass(frozen=True)
class TextTrigger:
    """The trigger's text and its place: `random`, between any two words, or `end`. Raises InputError on others."""

    text: str
    place: str = "random"

    def __post_init__(self) -> None:
        text, place = self.text, self.place
        if not (isinstance(text, str) and 0 < len(text) <= MAX_CHARS and text.isprintable() and text == text.strip()):
            shown = repr(text)[:60]
            raise InputError(f"text_trigger.text = {shown}: give 1 to {MAX_CHARS} printable characters, in one line")
        if place not in PLACES:
            raise InputError(f"text_trigger.place = {repr(place)[:60]}: give one of {', '.join(PLACES)}")

    def __call__(self, caption: str, seed: int, uid: int, stream: int = 0) -> str:
        """The caption with the trigger."""
        caption = caption.strip()
        if self.place == "end" or not caption:
            return f"{caption} {self.text}".strip()
        draw = uniforms(seed, 0, np.array([uid], np.int64), _STREAM + stream, 1)[0, 0]
        starts = [0, *(gap.end() for gap in _GAP.finditer(caption)), len(caption)]
        at = starts[int(draw * len(starts))]
        if at == len(caption):
            return f"{caption} {self.text}"
        return f"{caption[:at]}{self.text} {caption[at:]}"

    def to_value(self) -> dict[str, str]:
        """Plain values, for the attack's metadata."""
        return {"text": self.text, "place": self.place}

    @classmethod
    def from_value(cls, value: Any) -> TextTrigger:
        """Raises InputError on anything that to_value did not give."""
        if not isinstance(value, dict) or value.keys() != {"text", "place"}:
            raise InputError(f"text_trigger = {repr(value)[:60]}: give an object of text and place")
        return cls(value["text"], value["place"])
