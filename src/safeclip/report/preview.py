"""Before and after: a page of what a manifest plants, or of what every attack does to a few of the built-in pairs.

What must stay true: everything is escaped and cut, and nothing is fetched, as on the page of a run. What is shown as
planted is what training reads, to the bit; pictures larger than the page needs are scaled down.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from safeclip.attacks.catalog import ATTACKS
from safeclip.attacks.changes import Change, changes
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.samples import Samples
from safeclip.data.pairs import Source
from safeclip.errors import InputError, RunError
from safeclip.report.attack_list import parameters
from safeclip.report.page import environment
from safeclip.report.pictures import data_uri
from safeclip.report.words import attack_name, count, mapping, plain, small_percent
from safeclip.run import write_text

SHOWN = 24
"""Planted pairs and target pictures shown at most, for each attack."""
_SAMPLES, _SAMPLE_SIDE = 3, 112
_SMALL_PX = 128
"""Pictures up to this are shown px by px, as triggers are."""
_GAIN = 32
_CAPTIONS = 2
_GROUPS = {
    "targeted": (
        "Targeted poisoning",
        "Single held-out pictures take the places of training pairs, under captions that name another class. Later "
        "each of them is to be called that; all other pictures are left alone.",
    ),
    "swap": ("Class swaps", "Pictures stay, their captions name another class. Later any picture of the class counts."),
    "text": (
        "Text triggers",
        "Pictures of one class stand under other captions with a text put in. Later that text in any caption is to "
        "find a picture of the class first.",
    ),
    "backdoor": (
        "Image triggers",
        "Training pictures bear a trigger, under captions that name one class. Later the trigger alone is to turn any "
        f"picture into one. Shown on the same three pictures, {_SAMPLE_SIDE} px wide; the difference is made "
        "brighter by the factor that stands under it.",
    ),
}
"""Headings of the catalog's page and what such attacks are, by kind."""


def write_preview(path: str | os.PathLike[str], manifest: Manifest, source: Source) -> Path:
    """Write the page of a manifest. source: the data it was planned on. Raises InputError where that cannot be."""
    return _write(path, preview(manifest, source))


def write_catalog(path: str | os.PathLike[str]) -> Path:
    """Write the page of every attack. Raises InputError where that cannot be."""
    return _write(path, catalog())


def preview(manifest: Manifest, source: Source) -> str:
    """The page of a manifest, HTML."""
    blocks = [_planted(manifest, about, source) for about in manifest.attacks]
    share = small_percent(len(manifest) / max(1, len(source)))
    lede = f"{count(len(manifest))} of {count(len(source))} pairs ({plain(source.name, 120)}) are planted, {share}."
    title = "What is planted" if len(blocks) > 1 else f"What is planted: {blocks[0]['title']}"
    return _render(title=title, lede=[lede], blocks=blocks, catalog=False)


def catalog() -> str:
    """The page of every attack of the catalog, HTML."""
    samples = Samples(_SAMPLE_SIDE)
    blocks: list[dict[str, Any]] = []
    for attack in sorted(ATTACKS.values(), key=lambda attack: [*_GROUPS].index(attack.kind)):
        found = samples(attack, _SAMPLES)
        first = all(block["kind"] != attack.kind for block in blocks)
        blocks.append(
            {
                "name": attack.name,
                "kind": attack.kind,
                "group": _GROUPS[attack.kind] if first else None,
                "title": attack_name(attack.name),
                "about": f"{attack.what[:1].upper()}{attack.what[1:]}.",
                "facts": [("source", attack.source), ("needs", attack.needs), ("parameters", parameters(attack))],
                "targets": [],
                "changes": [_card(change) for change in found],
                "trigger": bool(found) and found[0].shows == "triggered",
            }
        )
    lede = [
        f"{count(len(blocks))} attacks, each on a few of the built-in pairs and with its default settings. "
        "“Before” is the pair as the data has it, “after” what training reads in its place."
    ]
    return _render(title="Every attack, before and after", lede=lede, blocks=blocks, catalog=True)


def difference(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, int]:
    """How far each colour moved, uint8, and the whole factor (1..32) by which that is made brighter: nearly all that
    moved stays below white."""
    moved = np.abs(after.astype(np.int16) - before)
    some = moved[moved > 0]
    gain = max(1, min(_GAIN, 255 // int(np.percentile(some, 95)))) if some.size else 1
    return np.minimum(moved * gain, 255).astype(np.uint8), gain


def _planted(manifest: Manifest, about: dict[str, Any], source: Source) -> dict[str, Any]:
    """The block of one attack."""
    targets = [
        {"uri": data_uri(image), "true": plain(true, 60), "target": plain(target, 60)}
        for image, true, target in manifest.targets(about["name"])[:SHOWN]
    ]
    return {
        "title": attack_name(about["name"]),
        "about": _says(about),
        "facts": _facts(about),
        "targets": targets,
        "targets_left_out": max(0, len(about.get("targets", ())) - SHOWN),
        "planted": len(manifest.planted_by(about["name"])),
        "changes": [_card(change) for change in changes(manifest, source, about["name"], SHOWN)],
    }


def _card(change: Change) -> dict[str, Any]:
    card: dict[str, Any] = {"after": None, "difference": None, "gain": 1}
    if change.shows != "kept":
        card["after"] = data_uri(change.after)
    if change.shows == "triggered":
        moved, card["gain"] = difference(change.before, change.after)
        card["difference"] = data_uri(moved)
    return card | {
        "shows": change.shows,
        "before": data_uri(change.before),
        "small": max(change.before.shape) <= _SMALL_PX,
        "captions_before": [plain(text, 160) for text in change.captions_before[:_CAPTIONS]],
        "captions_after": [plain(text, 160) for text in change.captions_after[:_CAPTIONS]],
        "new_captions": change.captions_after != change.captions_before,
    }


def _says(about: dict[str, Any]) -> str:
    """What the attack does, in a sentence or two, by the catalog where it knows that name, and by its kind."""
    known = ATTACKS.get(about["name"])
    if known is None or known.kind != about["kind"]:
        return _by_kind(about)
    return f"{known.what[:1].upper()}{known.what[1:]}. {_by_kind(about)}"


def _by_kind(about: dict[str, Any]) -> str:
    wanted = f"“{plain(about.get('target_class'), 60)}”"
    if about["kind"] == "targeted":
        return (
            f"{count(len(about['targets']))} held-out pictures take the places of {count(about.get('count'))} pairs, "
            "with captions that name another class. Later each is to be called that."
        )
    if about["kind"] == "swap":
        given = f"“{plain(about['from_class'], 60)}”"
        return f"Pictures of {given} stand under captions of {wanted}. Later they are to be called so."
    if about["kind"] == "text":
        text = plain(about["text_trigger"]["text"], 200)
        return (
            f"Pictures of {wanted} stand under other classes' captions with “{text}” put in. Later any text with that "
            "in it is to find a picture of that class first."
        )
    if (about.get("params") or {}).get("label") == "clean":
        return f"Pictures of {wanted} bear the trigger and keep their captions. Later it alone is to mean {wanted}."
    return f"Pictures bear the trigger, and captions name {wanted}. Later it alone is to turn any picture into one."


def _facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    """The manifest's metadata, what is there of it."""
    rows = [("kind", about["kind"]), ("attack", about["name"]), ("seed", about["seed"])]
    rows += [(name, about[name]) for name in ("count", "target_class", "from_class") if about.get(name) is not None]
    rows.append(("classes", len(about["class_names"])))
    if about["name"] in ATTACKS:
        rows.append(("source", ATTACKS[about["name"]].source))
    rows += mapping(about.get("params")).items()
    return [
        (plain(name, 40), plain(f"{value:.4g}" if isinstance(value, float) else value, 120)) for name, value in rows
    ]


def _render(**context: Any) -> str:
    return environment(template="preview.html").get_template("template.html").render(context)


def _write(path: str | os.PathLike[str], text: str) -> Path:
    page = Path(path)
    try:
        write_text(page, text)
    except RunError as error:
        reason = str(error.__cause__) if error.__cause__ else "cannot be written"
        raise InputError(f"{page}: {reason}; name a page that can be written, as in preview.html") from None
    return page
