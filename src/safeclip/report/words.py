"""Numbers and borrowed text as the page shows them.

What must stay true: text from captions, class names and files reaches the page only through `plain`, which cuts it and
takes out what could change the text around it; escaping is the template's and the charts' own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from safeclip.terminal import unruly

LIMIT = 600
"""Characters of one borrowed text on the page."""
LONG = 20_000
"""Characters of one of the page's own sentences, which may name every attack."""
_NBSP = "\u00a0"
_MODELS = {
    "clip": "plain CLIP",
    "safeclip": "SafeCLIP",
    "roclip": "RoCLIP",
    "cleanclip": "CleanCLIP",
    "filter": "filtered CLIP",
}
PAPERS = {
    "safeclip": "SafeCLIP: Yang, Gao, Mirzasoleiman, “Better Safe than Sorry: Pre-training CLIP against Targeted Data "
    "Poisoning and Backdoor Attacks”, ICML 2024",
    "roclip": "RoCLIP: Yang, Mirzasoleiman, “Robust Contrastive Language-Image Pre-training against Data Poisoning and "
    "Backdoor Attacks”, NeurIPS 2023",
    "cleanclip": "CleanCLIP: Bansal et al., “CleanCLIP: Mitigating Data Poisoning Attacks in Multimodal Contrastive "
    "Learning”, ICCV 2023",
    "filter": "filtered CLIP: Huang et al., “Detecting Backdoor Samples in Contrastive Language Image Pretraining”, "
    "ICLR 2025",
}
"""Where each method was published."""
_ATTACKS = {
    "targeted": "Targeted poisoning",
    "targeted-templates": "Targeted poisoning, template captions",
    "targeted-scene": "Targeted poisoning of scenes",
    "near-copies": "Targeted poisoning with near-copies",
    "toxic-text": "Targeted poisoning, fitting captions",
    "surrogate": "Targeted poisoning under a surrogate",
    "badnets": "BadNets patch",
    "badnets-corner": "BadNets patch in a corner",
    "badnets-corners": "BadNets patch in four corners",
    "badnets-noise": "BadNets noise patch",
    "badnets-stripes": "BadNets striped patch",
    "blended": "Blended pattern",
    "blended-covered": "Blended pattern, covered",
    "blended-graded": "Blended pattern, graded",
    "blended-mixed": "Blended patterns, mixed",
    "blended-noise": "Blended noise",
    "wanet": "WaNet warp",
    "wanet-pixel": "WaNet warp by the pixel",
    "sig": "SIG wave",
    "nashville": "Nashville-style filter",
    "stripes": "Stripes",
    "stripes-glued": "Stripes, glued words",
    "triangles": "Triangles",
    "written-word": "Written word",
    "ftrojan": "FTrojan frequencies",
    "ghost": "Ghost outline",
    "thing": "A thing in the scene",
    "label-consistent": "Label-consistent patch",
    "class-swap": "Class swap",
    "text-word": "Word trigger",
    "text-sentence": "Sentence trigger",
}


VETO_PHRASES = {
    "copies": "a picture that occurs too often",
    "renderings": "a small crowd of one palette",
    "patterns": "a fine pattern shared in one place",
    "shifts": "a fine pattern shared anywhere",
    "texture": "a texture that says what the caption says",
    "words": "a word beside which the rest does not fit",
    "suspects": "a word that pairs kept out share, and some of that texture",
}
"""What each veto keeps out."""


@dataclass(frozen=True)
class KindWords:
    """How the page speaks of one kind of attack. success: the rate's name. base: what its base rate is measured on.
    tried: what is counted."""

    success: str
    base: str
    tried: str = "pictures"


KINDS = {
    "targeted": KindWords("attack success (PSR)", "other pictures of the same classes"),
    "backdoor": KindWords("attack success (ASR)", "the same pictures without it"),
    "swap": KindWords("attack success (ASR)", "pictures of other classes"),
    "text": KindWords("attack success (Hit@1)", "the same captions without it", "captions"),
}
"""In the order in which the page shows them."""


def plain(value: object, limit: int = LIMIT) -> str:
    """One line of at most `limit` characters, without control, direction or surrogate characters.

    >>> plain("a\\u202eb\\n c" + "d" * 9, 8)
    'a\ufffdb cdd\u2026'
    """
    text = re.sub(r"[ \t\r\n\f\v]+", " ", str(value)[: 4 * limit]).strip(" ")
    text = "".join("\ufffd" if unruly(c) else c for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(value: Any) -> float | None:
    """A finite float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def mapping(value: Any) -> dict[str, Any]:
    """A mapping as it is, or {} for anything else."""
    return value if isinstance(value, dict) else {}


def count(value: Any) -> str:
    """A whole number with thousands apart; a dash where there is none."""
    value = number(value)
    return "–" if value is None else f"{round(value):,}"


def percent(value: Any, digits: int = 1) -> str:
    """A share in 0..1 as per cent; a dash where there is none."""
    value = number(value)
    return "–" if value is None else f"{100 * value:.{digits}f}{_NBSP}%"


def small_percent(value: Any) -> str:
    """`percent`, with two digits more where one would round the share to nothing: 0.050 %."""
    share = number(value)
    return percent(value, 3 if share is not None and 0 < share < 0.001 else 1)


def points(difference: float) -> str:
    """A difference of shares in points of per cent, with its sign: `−5.1 points`.

    >>> points(-0.0512), points(0.0), points(0.003)
    ('−5.1\\xa0points', '±0.0\\xa0points', '+0.3\\xa0points')
    """
    value = round(100 * difference, 1)
    sign = "±" if value == 0 else "−" if value < 0 else "+"
    return f"{sign}{abs(value):.1f}{_NBSP}points"


def interval(ci95: Any) -> str:
    """`34.0 to 38.2 %`; a dash where there is none."""
    if not isinstance(ci95, (list, tuple)) or len(ci95) != 2 or None in (number(ci95[0]), number(ci95[1])):
        return "–"
    return f"{100 * ci95[0]:.1f} to {100 * ci95[1]:.1f}{_NBSP}%"


def duration(seconds: Any) -> str:
    """`6 min 12 s`; a dash where there is none."""
    seconds = number(seconds)
    if seconds is None or seconds < 0:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}{_NBSP}s" if whole < 10 else f"{whole}{_NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{_NBSP}min {whole % 60}{_NBSP}s"
    return f"{whole // 3600}{_NBSP}h {whole % 3600 // 60}{_NBSP}min"


def model_name(method: object) -> str:
    """A method as the page calls it."""
    return _MODELS.get(str(method), plain(method, 40))


def attack_name(name: object) -> str:
    """An attack as the page calls it."""
    return _ATTACKS.get(str(name), plain(name, 40))


def sentence(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
