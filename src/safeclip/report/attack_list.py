"""`safeclip poison --list`: every attack, what it does, where it was published, what it needs and takes, and a sample.

What must stay true: a pipe or a file gets plain lines, without colours and pictures.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console

from safeclip.attacks.attack import Attack
from safeclip.attacks.catalog import ATTACKS
from safeclip.attacks.changes import Change
from safeclip.attacks.samples import Samples
from safeclip.report.terminal_pictures import shows_pictures, strip
from safeclip.report.words import plain

NOTE = (
    "A parameter without a value is drawn, or not used, unless it is given: --param target_class=dog. "
    "docs/attacks.md says what each one means."
)


def as_values() -> dict[str, Any]:
    """The catalog in plain values, by name."""
    return {
        attack.name: {
            "kind": attack.kind,
            "what": attack.what,
            "source": attack.source,
            "needs": attack.needs,
            "params": attack.params,
        }
        for attack in ATTACKS.values()
    }


def print_list(console: Console | None = None) -> None:
    """Print it. console: standard output by default."""
    console = console or Console()
    samples, pictures = Samples(), shows_pictures(console)
    for attack in ATTACKS.values():
        found = samples(attack)
        for line in lines(attack, found):
            console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
        if pictures and any(change.shows == "triggered" for change in found):
            console.print(strip([(change.before, change.after) for change in found], console.width), end="")
        console.print()
    console.print(NOTE, markup=False, highlight=False, emoji=False, soft_wrap=True)


def lines(attack: Attack, found: list[Change]) -> list[str]:
    """The attack in words. found: a sample of what it does, whose captions are shown where it lives on captions."""
    told = [
        attack.name,
        f"  {attack.what}",
        f"  source: {attack.source}",
        f"  needs: {attack.needs}",
        f"  parameters: {parameters(attack)}",
    ]
    if found and found[0].shows != "triggered":
        before, after = (plain(texts[0], 60) for texts in (found[0].captions_before, found[0].captions_after))
        how = {"kept": "the picture stays", "replaced": "and its picture becomes another"}[found[0].shows]
        told.append(f"  as in: “{before}” becomes “{after}”, {how}")
    return told


def parameters(attack: Attack) -> str:
    """Those that it takes, with their defaults; a name alone has none."""
    return ", ".join(name if value is None else f"{name}={_value(value)}" for name, value in attack.params.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
