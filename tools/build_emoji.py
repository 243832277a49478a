"""Draw the built-in data: emoji of seven families, matched by concept, into src/safeclip/data/emoji.parquet.

    pip install resvg-py pillow pyarrow numpy      (and npm on the PATH)
    python tools/build_emoji.py --npm /tmp/npm

One row is one picture. `rank` orders the concepts for whoever wants the first n: drawn by most families first, spread
over the subgroups in turn, and a concept that looks like or is named like an earlier one put off to the end.
The file is the same to the byte for the same versions of the tools, which its metadata records.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import tarfile
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import resvg_py
from PIL import Image

TARGET = Path(__file__).parents[1] / "src/safeclip/data/emoji.parquet"
FXEMOJI_NAMES = Path(__file__).with_name("fxemoji_names.json")
FAMILIES = {  # family -> version of @iconify-json/<family>; emojione-v1 is CC-BY-SA and stays out
    "emojione": "1.2.3",
    "fluent-emoji": "1.2.7",
    "fluent-emoji-flat": "1.2.6",
    "fxemoji": "1.2.2",
    "noto": "1.2.9",
    "noto-v1": "1.2.5",
    "twemoji": "1.2.5",
}
EMOJIBASE = "17.0.0"
LICENCES = ("Apache-2.0", "CC-BY-4.0", "MIT")  # no share-alike
SIDE = 64  # px
WEBP = {"quality": 88, "method": 6}
MIN_FAMILIES = 5
MAX_BYTES = 13_000_000
# Left out: what is text, a country or a mere shape, and so has no name that a picture would tell.
NO_GROUPS = {"component", "flags"}
NO_SUBGROUPS = {
    *("alphanum", "arrow", "av-symbol", "currency", "gender", "geometric", "keycap", "math", "other-symbol"),
    *("punctuation", "zodiac"),
}
NO_CONCEPTS = {"ATM sign", "ZZZ", "hundred points", "om"}
CLOCK_FACES = range(0x1F550, 0x1F568)
COMMON_WORDS = {"a", "and", "behind", "in", "of", "on", "over", "person", "the", "with", "without"}
LOOKALIKE = 0.16  # root mean square difference of two pictures, 0..1, below which two concepts are too near


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npm", type=Path, required=True, help="folder of the npm tarballs; missing ones are fetched")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()

    base = fetch(arguments.npm, "emojibase-data", EMOJIBASE)
    packages = {family: fetch(arguments.npm, f"@iconify-json/{family}", v) for family, v in FAMILIES.items()}
    licences = {family: licence_of(family, tarball) for family, tarball in packages.items()}
    concepts = read_concepts(base)
    names = Names(base, concepts, packages)
    icons = {family: match(family, tarball, names) for family, tarball in packages.items()}
    drawn = Counter(hexcode for found in icons.values() for hexcode in found)
    kept = [c for c in concepts if drawn[c["hexcode"]] >= MIN_FAMILIES]

    pictures: dict[tuple[str, str], Image.Image] = {}
    for family in FAMILIES:
        for concept in kept:
            if concept["hexcode"] in icons[family]:
                pictures[concept["hexcode"], family] = draw(icons[family][concept["hexcode"]])
    ordered = rank(kept, pictures)
    rows = [
        {
            "rank": i,
            "family": family,
            "licence": licences[family],
            **{key: concept[key] for key in ("hexcode", "concept", "keywords", "group", "subgroup")},
            "image": encode(pictures[concept["hexcode"], family]),
        }
        for i, concept in enumerate(ordered)
        for family in FAMILIES
        if (concept["hexcode"], family) in pictures
    ]
    write(rows, arguments.out)
    print(f"{arguments.out}: {len(ordered)} concepts, {len(rows)} pictures, {arguments.out.stat().st_size:,} bytes")
    print("concepts by number of families:", sorted(Counter(drawn[c["hexcode"]] for c in kept).items()))


# ---------------------------------------------------------------------------------------------- packages


def fetch(folder: Path, package: str, package_version: str) -> Path:
    """The package's tarball in `folder`, by `npm pack` if it is not there yet."""
    tarball = folder / f"{package.lstrip('@').replace('/', '-')}-{package_version}.tgz"
    if not tarball.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", f"{package}@{package_version}", "--pack-destination", str(folder)], check=True)
    return tarball


def read(tarball: Path, name: str) -> Any:
    with tarfile.open(tarball) as tar:
        member = tar.extractfile(f"package/{name}")
        assert member is not None, f"{tarball} has no {name}"
        return json.load(member)


def licence_of(family: str, tarball: Path) -> str:
    spdx = str(read(tarball, "info.json")["license"]["spdx"])
    assert spdx in LICENCES, f"{family} is under {spdx}: only {', '.join(LICENCES)} may be shipped"
    return spdx


# ---------------------------------------------------------------------------------------------- concepts


def read_concepts(base: Path) -> list[dict[str, Any]]:
    """Emoji that are nameable things, in emojibase's order."""
    messages = read(base, "en/messages.json")
    groups = {g["order"]: g["key"] for g in messages["groups"]}
    subgroups = {s["order"]: s["key"] for s in messages["subgroups"]}
    concepts = []
    for entry in sorted(read(base, "en/data.json"), key=lambda e: e.get("order", 0)):
        if "group" not in entry:
            continue  # regional indicators
        concept = {
            "hexcode": entry["hexcode"],
            "concept": entry["label"].replace("’", "'"),
            "keywords": [tag.replace("’", "'") for tag in entry.get("tags", []) if re.search("[a-z]", tag.lower())],
            "group": groups[entry["group"]],
            "subgroup": subgroups[entry["subgroup"]],
        }
        if is_nameable(concept):
            concepts.append(concept)
    return concepts


def is_nameable(concept: dict[str, Any]) -> bool:
    points = concept["hexcode"].split("-")
    return not (
        concept["group"] in NO_GROUPS
        or concept["subgroup"] in NO_SUBGROUPS
        or int(points[0], 16) in CLOCK_FACES
        or (concept["group"] == "people-body" and "200D" in points)  # the same picture as man, woman and person
        or ":" in concept["concept"]
        or concept["concept"] in NO_CONCEPTS
    )


class Names:
    """From an icon's name to a hexcode: the more certain table first, and only where it names a single concept."""

    def __init__(self, base: Path, concepts: list[dict[str, Any]], packages: dict[str, Path]):
        known = {c["hexcode"] for c in concepts}
        bare = {without_selector(h): h for h in known}
        self.by_family: dict[str, dict[str, str]] = {}
        labels, slugs, unicode_names, shortcodes = (defaultdict(set) for _ in range(4))
        for concept in concepts:
            labels[squash(concept["concept"])].add(concept["hexcode"])
        for family, tarball in packages.items():
            chars = read(tarball, "chars.json")
            own = {name: bare[without_selector(h)] for h, name in chars.items() if without_selector(h) in bare}
            self.by_family[family] = own
            for name, hexcode in own.items():
                slugs[squash(name)].add(hexcode)
        for hexcode, name in read(base, "meta/unicode-names.json").items():
            if hexcode in known:
                unicode_names[squash(name)].add(hexcode)
        for table in ("cldr", "emojibase", "emojibase-legacy", "github", "iamcal", "joypixels"):
            for hexcode, codes in read(base, f"en/shortcodes/{table}.json").items():
                if hexcode in known:
                    for code in [codes] if isinstance(codes, str) else codes:
                        shortcodes[squash(code)].add(hexcode)
        self.tables = (labels, slugs, unicode_names, shortcodes)
        # Firefox OS named its files by hand: what the tables do not know, or get wrong, stands in a file of our own;
        # null leaves out a picture that is broken or of no concept.
        by_hand = json.loads(FXEMOJI_NAMES.read_text())
        unknown = sorted(label for label in by_hand.values() if label and squash(label) not in labels)
        assert not unknown, f"{FXEMOJI_NAMES} names no concept by {', '.join(unknown)}"
        self.by_family["fxemoji"] = {
            n: next(iter(labels[squash(label)])) if label else "" for n, label in by_hand.items()
        }

    def find(self, family: str, names: list[str]) -> tuple[int, str] | None:
        """How far down the tables it was found, and the hexcode."""
        for name in names:
            if (hexcode := self.by_family[family].get(name)) is not None:
                return (0, hexcode) if hexcode else None
        for distance, table in enumerate(self.tables, 1):
            for name in names:
                if len(found := table.get(squash(name), ())) == 1:
                    return distance, next(iter(found))
        return None


def squash(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def without_selector(hexcode: str) -> str:
    return "-".join(point for point in hexcode.upper().split("-") if point != "FE0F")


def match(family: str, tarball: Path, names: Names) -> dict[str, str]:
    """hexcode -> SVG of the family's picture."""
    icons = read(tarball, "icons.json")
    aliases = defaultdict(list)
    for alias, entry in icons.get("aliases", {}).items():
        if set(entry) == {"parent"}:  # a mere second name, not a mirrored picture
            aliases[entry["parent"]].append(alias)
    candidates = []
    for name in icons["icons"]:
        hit = None if "skin-tone" in name else names.find(family, [name, *sorted(aliases[name])])
        if hit is not None:
            candidates.append((*hit, name))
    found: dict[str, str] = {}
    for _, hexcode, name in sorted(candidates):  # the most certain name first
        found.setdefault(hexcode, svg(icons, icons["icons"][name]))
    return found


# ---------------------------------------------------------------------------------------------- pictures


def svg(icons: dict[str, Any], icon: dict[str, Any]) -> str:
    box = [icon.get(key, icons.get(key, default)) for key, default in (("left", 0), ("top", 0), ("width", 16))]
    box.append(icon.get("height", icons.get("height", 16)))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{" ".join(map(str, box))}" width="{2 * SIDE}" height="{2 * SIDE}">{icon["body"]}</svg>'
    )


def draw(source: str) -> Image.Image:
    """The picture cut to what is drawn, centred in a square of SIDE px: no family is told by its margins."""
    png = resvg_py.svg_to_bytes(svg_string=source, skip_system_fonts=True)
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    box = picture.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox()
    assert box is not None, f"an empty picture: {source[:200]}"
    drawn = picture.crop(box)
    square = Image.new("RGBA", (max(drawn.size),) * 2)
    square.paste(drawn, ((square.width - drawn.width) // 2, (square.height - drawn.height) // 2))
    # Premultiplied while scaling, so that no colour bleeds in from clear pixels.
    return square.convert("RGBa").resize((SIDE, SIDE), Image.Resampling.LANCZOS).convert("RGBA")


def encode(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", **WEBP)
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------------- order


def rank(concepts: list[dict[str, Any]], pictures: dict[tuple[str, str], Image.Image]) -> list[dict[str, Any]]:
    """By number of families, then the subgroups in turn; lookalikes and namesakes of an earlier one go last."""
    families = Counter(hexcode for hexcode, _ in pictures)
    turn: Counter[tuple[int, str]] = Counter()
    keys = {}
    for place, concept in enumerate(concepts):
        tier = -families[concept["hexcode"]]
        keys[concept["hexcode"]] = (tier, turn[tier, concept["subgroup"]], place)
        turn[tier, concept["subgroup"]] += 1
    first: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    looks = np.empty((len(concepts), len(FAMILIES), 12 * 12 * 3), np.float32)  # of `first`
    words: set[str] = set()
    for concept in sorted(concepts, key=lambda c: keys[c["hexcode"]]):
        own_look, own_words = look(concept["hexcode"], pictures), content_words(concept["concept"])
        gaps = np.sqrt(np.mean((looks[: len(first)] - own_look) ** 2, axis=2))  # NaN where a family lacks either
        if words & own_words or (np.nanmean(gaps, axis=1) < LOOKALIKE).any():
            last.append(concept)
        else:
            looks[len(first)] = own_look
            words |= own_words
            first.append(concept)
    print(f"{len(first)} concepts unlike each other, {len(last)} that resemble one of them")
    return first + last


def look(hexcode: str, pictures: dict[tuple[str, str], Image.Image]) -> np.ndarray:
    """Each family's picture at 12 x 12 px on grey, 0..1, (families, 432); NaN where a family has none."""
    looks = np.full((len(FAMILIES), 12 * 12 * 3), np.nan, np.float32)
    for i, family in enumerate(FAMILIES):
        if (hexcode, family) in pictures:
            ground = Image.new("RGBA", (SIDE, SIDE), (128, 128, 128, 255))
            ground.alpha_composite(pictures[hexcode, family])
            small = ground.convert("RGB").resize((12, 12), Image.Resampling.BOX)
            looks[i] = np.asarray(small, np.float32).reshape(-1) / 255
    return looks


def content_words(name: str) -> set[str]:
    """Words that tell what it is, without a plural's s: 'cat face' and 'cats' share one."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z0-9]+", name.lower())} - COMMON_WORDS


def write(rows: list[dict[str, Any]], path: Path) -> None:
    packages = {"emojibase-data": EMOJIBASE, **{f"@iconify-json/{f}": v for f, v in FAMILIES.items()}}
    strings = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("rank", pa.int32()),
            *((name, strings) for name in ("family", "licence", "hexcode", "concept")),
            ("keywords", pa.list_(pa.string())),
            *((name, strings) for name in ("group", "subgroup")),
            ("image", pa.binary()),
        ],
        metadata={
            "script": "tools/build_emoji.py",
            "packages": json.dumps(packages),
            "tools": json.dumps({name: version(name) for name in ("pillow", "pyarrow", "resvg-py")}),
            "side_px": str(SIDE),
        },
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd", use_dictionary=["keywords"])
    assert path.stat().st_size < MAX_BYTES, f"{path} has {path.stat().st_size:,} bytes: lower WEBP quality"


if __name__ == "__main__":
    main()
