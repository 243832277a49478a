"""Pictures in a terminal: half blocks, two px a character, in as many colours as the terminal has.

upper px: the block's colour; lower px: its background
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

SIDE = 16
"""Of a thumbnail, in px and in characters across; half as many lines."""
_ARROW, _GAP = " → ", "   "


def shows_pictures(console: Console) -> bool:
    """Whether it is a terminal with enough colours, and its characters include half blocks."""
    rich_colour = console.color_system in ("256", "truecolor") and not console.no_color
    return console.is_terminal and rich_colour and not console.options.ascii_only


def strip(pairs: Sequence[tuple[np.ndarray, np.ndarray]], width: int) -> Text:
    """Pictures before and after, side by side, as many as fit in `width` characters, one pair at least.

    pairs: uint8 (H, W, 3) each.
    """
    each = 2 * SIDE + len(_ARROW)
    fitting = max(1, (width + len(_GAP)) // (each + len(_GAP)))
    shown = [(_small(before), _small(after)) for before, after in pairs[:fitting]]
    text = Text(no_wrap=True)
    for row in range(0, SIDE, 2):
        for place, (before, after) in enumerate(shown):
            text.append(_GAP if place else "")
            _blocks(text, before[row : row + 2])
            text.append(_ARROW if row == SIDE // 2 else " " * len(_ARROW))
            _blocks(text, after[row : row + 2])
        text.append("\n")
    return text


def _small(image_HWC: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image_HWC).resize((SIDE, SIDE), Image.Resampling.BOX))


def _blocks(text: Text, rows_2WC: np.ndarray) -> None:
    for upper, lower in zip(rows_2WC[0].tolist(), rows_2WC[1].tolist(), strict=True):
        text.append("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
