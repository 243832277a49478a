"""Borrowed text on the terminal: captions, classes, columns and file names as data has them.

What must stay true: what is printed passes through `printable`, so that no data colours, moves, hides or retitles what
stands there. Pictures that are drawn on purpose (report/terminal_pictures.py) are made here and go past it.
"""

from __future__ import annotations

import unicodedata


def printable(line: str) -> str:
    r"""The line, in which what would steer a terminal stands as its escape sequence.

    >>> printable("a\x1b[31m cat\u202e\n")
    'a\\x1b[31m cat\\u202e\\n'
    """
    return "".join(c.encode("unicode_escape").decode() if unruly(c) else c for c in line)


def unruly(c: str) -> bool:
    """Whether it is a control, direction or surrogate character, or one that parts lines."""
    kind = unicodedata.category(c)
    if kind == "Cf":
        return c not in "\u200c\u200d"  # joiners: letters of several scripts, and emoji, need them
    return kind in ("Cc", "Cs", "Zl", "Zp")
