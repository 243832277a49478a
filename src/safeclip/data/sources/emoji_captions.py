"""Captions for the emoji, varied as scraped ones are: most say the concept's name, a few have keywords only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NAME_TEMPLATES = (
    "{name}",
    "a drawing of {a} {name}.",
    "{a} {name}",
    "an icon: {name}",
    "icon of {a} {name}",
    "clipart of {a} {name}",
    "an illustration of the {name}",
    "the {name}, drawn in flat colours",
    "a small picture of {a} {name}",
    "{name} on a {colour} ground",
    "{a} {name} in front of {colour}",
    "{colour} card with {a} {name} on it",
    "sticker: {name}, {colour} background",
    "{name} emoji",
    "colourful {name} artwork",
    "a cartoon {name}",
    "{name}, a picture from a set about {group}",
    "this is {a} {name}!",
    "download {name} icon free",
)
KEYWORD_TEMPLATES = (
    "clipart of {a} {name}, {key}",
    "{name} ({key}, {other})",
    "{key}: {name} on {colour}",
    "{name} | {key} | {group}",
    "{a} {name}, tagged {key} and {other}",
)
NAMELESS_TEMPLATES = (
    "{key}, {other}",
    "an icon about {key}",
    "{colour} picture: {key}",
    "{group}, {key} and {other}",
)

_GROUP_WORDS = {
    "smileys-emotion": "moods",
    "people-body": "people",
    "animals-nature": "nature",
    "food-drink": "food and drink",
    "travel-places": "travel",
    "activities": "leisure",
    "objects": "objects",
    "symbols": "signs",
}


class Words(NamedTuple):
    """What captions can say of a concept. keywords may be empty. group: emojibase's key."""

    name: str
    keywords: tuple[str, ...]
    group: str


def write_captions(
    words: Words, colour: str, count: int, plain_share: float, random: np.random.Generator
) -> tuple[str, ...]:
    """`count` captions, unlike each other. colour: the ground's. plain_share: see EmojiMakeup.plain_caption_share."""
    captions: list[str] = []
    while len(captions) < count:
        caption = _caption(words, colour, plain_share, random.random(4))
        if caption not in captions:
            captions.append(caption)
    return tuple(captions)


def _caption(words: Words, colour: str, plain_share: float, u: np.ndarray) -> str:
    """One caption. u: four draws in [0, 1)."""
    if u[0] < plain_share or not words.keywords:
        templates: tuple[str, ...] = NAME_TEMPLATES
    elif u[0] < (1 + plain_share) / 2:
        templates = KEYWORD_TEMPLATES
    else:
        templates = NAMELESS_TEMPLATES
    keys = words.keywords or (words.name,)
    key = int(u[2] * len(keys))
    return templates[int(u[1] * len(templates))].format(
        name=words.name,
        a="an" if words.name[0].lower() in "aeiou" else "a",
        colour=colour,
        key=keys[key],
        other=keys[(key + 1 + int(u[3] * (len(keys) - 1))) % len(keys)],
        group=_GROUP_WORDS.get(words.group, words.group),
    )
