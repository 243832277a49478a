r"""The words of a text in any script.

    "A dog's café"  a, dog, s, café        "किला"  one word, with its vowel signs        "一只斑马"  一只, 只斑, 斑马

Chinese, Japanese, Thai, Lao, Khmer and Burmese put no spaces between words: what stands there without a break is told
in pairs of neighbouring characters, as is usual where there is no dictionary (McNamee & Mayfield 2004). Combining
marks, which `\w` leaves out, belong to the character that they stand on, and one text in two normal forms is the same.
What must stay true: a text without marks and without such scripts has the words that `\w+` finds in lower case.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff"  # Thai, Lao; Burmese; Khmer
    "\u3005-\u3007\u3021-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"  # kana, bopomofo
)
"""Blocks whole: which of them are letters, `\\w` says."""
_FOR_SYMBOLS = {*range(0x20D0, 0x2100), *range(0xFE00, 0xFE10)}
"""Marks that say how a symbol is drawn, as in emoji: of no word."""
_LAST_MARK = 0xFFFF
"""Scripts beyond are rare, and their marks would make every word nine times as slow to find."""
_WORD = re.compile(r"\w+")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """Lower-case words in order, of scripts without spaces pairs of neighbouring characters; one that stands alone, by
    itself. Marks are characters here: in Burmese many a word is one letter with its marks.

    >>> words("A black_cat, 猫"), words("一只斑马")
    (['a', 'black_cat', '猫'], ['一只', '只斑', '斑马'])
    """
    found = runs(text)
    if text.isascii() or not unspaced(text):
        return found
    out = []
    for run in found:
        pairs = len(run) > 1 and unspaced(run)
        out += [run[i : i + 2] for i in range(len(run) - 1)] if pairs else [run]
    return out


def runs(text: str) -> list[str]:
    """Lower-case words in order; of scripts without spaces all that stands without a break, by itself.

    >>> runs("2 Tシャツ、赤い")
    ['2', 't', 'シャツ', '赤い']
    """
    text = text.lower()
    if text.isascii():
        return _WORD.findall(text)
    text = unicodedata.normalize("NFC", text)
    marked, broken, _ = _patterns()
    found: list[str] = marked.findall(text)
    return [run for word in found for run in broken.findall(word)] if unspaced(text) else found


def unspaced(text: str) -> bool:
    """Whether any of it is of a script without spaces; of a run: all."""
    return _ANY_UNSPACED.search(text) is not None


def characters(run: str) -> list[str]:
    """Each with the marks that stand on it."""
    found: list[str] = _patterns()[2].findall(run)
    return found


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """A word with its marks; a run in it; a character of a run."""
    marks = "".join(
        chr(code)
        for code in range(0x300, _LAST_MARK + 1)
        if unicodedata.category(chr(code)) in ("Mn", "Mc") and code not in _FOR_SYMBOLS
    )
    return (
        re.compile(rf"\w[\w{marks}]*"),
        re.compile(f"[{_UNSPACED}][{_UNSPACED}{marks}]*|[^{_UNSPACED}]+"),
        re.compile(f".[{marks}]*"),
    )
