"""The built-in data: emoji of seven families, placed at random size, place and turn on coloured grounds, with captions.

    pair(uid) = compose(seed, split, uid)        no pair depends on another, nor on the order of reading

Two families are held out: `val` and `test` show drawings that training never sees. That must stay true. They are
two without a sibling: noto and noto-v1, fluent-emoji and fluent-emoji-flat resemble each other and stay on one side.
The pictures come from emoji.parquet (tools/build_emoji.py); EMOJI-NOTICE.md names their authors and licences.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from safeclip.config.checks import check
from safeclip.data.pairs import NoSuchSplit, Pair
from safeclip.data.sources.emoji_captions import Words, write_captions
from safeclip.data.sources.emoji_grounds import COLOURS, paint
from safeclip.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FAMILIES", "SPLITS", "EmojiMakeup", "EmojiSource"]

EMOJI_FILE = Path(__file__).parents[1] / "emoji.parquet"
FAMILIES = ("emojione", "fluent-emoji", "fluent-emoji-flat", "fxemoji", "noto", "noto-v1", "twemoji")
SPLITS = ("train", "val", "test")
_SCENE, _GROUND, _CAPTIONS = range(3)  # streams of random numbers


@dataclass(frozen=True, kw_only=True)
class EmojiMakeup:
    """How the pairs are composed. Errors name the field, the value and the mend."""

    concepts: int = 100
    """Classes: the first of the file's order, which is drawn by most families, of all kinds, unlike each other."""
    pairs: int = 8_000
    """Training pairs, split evenly over the classes: 80 of each, as scraped data has many pictures of most things."""
    eval_pairs: int = 2_000
    """Pairs of `val`, and as many of `test`."""
    size: int = 40
    """Side of a picture in px. The drawings are kept at 64 px; above that they are scaled up."""
    seed: int = 0
    """Seed of everything random in the pairs."""
    val_family: str = "emojione"
    """Family of the `val` pictures, held out of training."""
    test_family: str = "twemoji"
    """Family of the `test` pictures, held out of training and of `val`."""
    scale_min: float = 0.55
    """Smallest drawing, as a share of `size`."""
    scale_max: float = 0.95
    """Largest drawing, as a share of `size`."""
    turn: float = 25.0
    """Drawings are turned by up to this many degrees either way."""
    plain_caption_share: float = 0.7
    """Share of captions that say the name alone; of the rest, half add keywords and half have keywords only."""
    second_caption_share: float = 0.5
    """Share of pairs with two captions; the others have one."""

    def __post_init__(self) -> None:
        for name, least in (("concepts", 2), ("pairs", 1), ("eval_pairs", 1), ("size", 8), ("seed", 0)):
            value = getattr(self, name)
            _check(isinstance(value, int) and value >= least, name, value, f"give a whole number, {least} or more")
        _check(self.size <= 512, "size", self.size, "give at most 512 px")
        _check(self.seed < 2**63, "seed", self.seed, "give a seed below 2**63")
        for name in ("val_family", "test_family"):
            _check(getattr(self, name) in FAMILIES, name, getattr(self, name), f"give one of {', '.join(FAMILIES)}")
        _check(self.val_family != self.test_family, "val_family", self.val_family, "hold out another than test_family")
        _check(0.1 <= self.scale_min <= 1, "scale_min", self.scale_min, "give a share between 0.1 and 1")
        _check(self.scale_min <= self.scale_max <= 1, "scale_max", self.scale_max, "give a share from scale_min to 1")
        _check(0 <= self.turn <= 180, "turn", self.turn, "give degrees between 0 and 180")
        for name in ("plain_caption_share", "second_caption_share"):
            _check(0 <= getattr(self, name) <= 1, name, getattr(self, name), "give a share between 0 and 1")

    @classmethod
    def from_spec(cls, spec: str) -> EmojiMakeup:
        """The make-up a data spec asks for: `emoji:` or `emoji:concepts=100,seed=1`."""
        kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(cls)}
        values: dict[str, Any] = {}
        for setting in filter(None, spec.removeprefix("emoji:").split(",")):
            name, _, value = (part.strip() for part in setting.partition("="))
            _check(name in kinds, name, value, f"no such setting; give {', '.join(kinds)}")
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise InputError(f"emoji.{name} = {value!r}: give a value such as {getattr(cls, name)!r}") from None
        return cls(**values)

    @property
    def spec(self) -> str:
        """The data spec that asks for this make-up."""
        default = asdict(EmojiMakeup())
        return "emoji:" + ",".join(f"{k}={v}" for k, v in asdict(self).items() if v != default[k])


class EmojiSource:
    """Pairs composed from emoji: a Source (safeclip.data.pairs).

    split: `train` draws from five families; `val` and `test` from one held-out family each. makeup: see EmojiMakeup.
    """

    def __init__(self, split: str = "train", makeup: EmojiMakeup | None = None):
        self.split, self.makeup = split, makeup or EmojiMakeup()
        if split not in SPLITS:
            raise NoSuchSplit(f"emoji.split = {split!r}: give one of {', '.join(SPLITS)}")
        self.name = self.makeup.spec
        self._length = self.makeup.pairs if split == "train" else self.makeup.eval_pairs
        self._words, self._rows = self._choose()
        self.class_names = tuple(words.name for words in self._words)
        self.fingerprint = self._fingerprint()

    @classmethod
    def from_spec(cls, spec: str, split: str = "train") -> EmojiSource:
        return cls(split, EmojiMakeup.from_spec(spec))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, uid: int) -> Pair:
        scene = self._scene(uid)
        ground = paint(scene.ground, scene.colours, self.makeup.size, self._random(uid, _GROUND))
        return Pair(self._place(scene, ground), self._write(uid, scene))

    def captions(self, uid: int) -> tuple[str, ...]:
        return self._write(uid, self._scene(uid))

    def label(self, uid: int) -> int:
        return self._checked(uid) % len(self.class_names)

    def family(self, uid: int) -> str:
        """Who drew the pair's picture."""
        return self._scene(uid).family

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_sprites"}  # workers decode for themselves

    # ------------------------------------------------------------------------------------------ what is drawn

    def _choose(self) -> tuple[list[Words], list[dict[str, int]]]:
        """Per class, sorted by name: its words, and family -> row of the file for the families of this split."""
        import pyarrow.parquet as pq

        columns = ["rank", "family", "concept", "keywords", "group"]
        table = pq.read_table(EMOJI_FILE, columns=columns).to_pylist()
        drawn: dict[int, dict[str, int]] = {}
        for row, entry in enumerate(table):
            drawn.setdefault(entry["rank"], {})[entry["family"]] = row
        held_out = {self.makeup.val_family, self.makeup.test_family}
        whole = [rank for rank in sorted(drawn) if held_out <= drawn[rank].keys() and len(drawn[rank]) >= 5]
        count = self.makeup.concepts
        _check(count <= len(whole), "concepts", count, f"give at most {len(whole)}")

        def name(rank: int) -> str:
            return str(table[next(iter(drawn[rank].values()))]["concept"])

        chosen = sorted(whole[:count], key=name)
        names = {name(rank) for rank in chosen}
        held_out_of = {"val": {self.makeup.val_family}, "test": {self.makeup.test_family}}
        families = held_out_of.get(self.split, set(FAMILIES) - held_out)
        words, rows = [], []
        for rank in chosen:
            rows.append({f: row for f, row in sorted(drawn[rank].items()) if f in families})
            entry = table[next(iter(drawn[rank].values()))]
            keywords = tuple(k for k in entry["keywords"] if k not in names)
            words.append(Words(name(rank), keywords, entry["group"]))
        return words, rows

    @cached_property
    def _sprites(self) -> dict[int, Image]:
        """Row of the file -> picture, premultiplied, decoded once and scaled to at most `size`."""
        import pyarrow.parquet as pq
        from PIL import Image

        images = pq.read_table(EMOJI_FILE, columns=["image"])["image"]
        sprites = {}
        for row in sorted(row for rows in self._rows for row in rows.values()):
            sprite = Image.open(io.BytesIO(images[row].as_py())).convert("RGBA").convert("RGBa")
            if sprite.width > self.makeup.size:
                sprite = sprite.resize((self.makeup.size,) * 2, Image.Resampling.LANCZOS)
            sprites[row] = sprite
        return sprites

    # ------------------------------------------------------------------------------------------ one pair

    def _scene(self, uid: int) -> _Scene:
        label = self.label(uid)
        u = self._random(uid, _SCENE).random(12)
        makeup, families = self.makeup, list(self._rows[label].items())
        family, row = families[int(u[0] * len(families))]
        first = int(u[6] * len(COLOURS))
        second = (first + 1 + int(u[7] * (len(COLOURS) - 1))) % len(COLOURS)
        scale = makeup.scale_min + u[1] * (makeup.scale_max - makeup.scale_min)
        slack = (1 - scale) * makeup.size
        return _Scene(
            label=label,
            family=family,
            row=row,
            scale=scale,
            x=makeup.size / 2 + (u[2] - 0.5) * slack,
            y=makeup.size / 2 + (u[3] - 0.5) * slack,
            turn=(2 * u[4] - 1) * makeup.turn,
            ground=int(u[5] * 4),
            colours=(first, second),
        )

    def _place(self, scene: _Scene, ground: np.ndarray) -> np.ndarray:
        """The drawing over the ground. ground: float32 (size, size, 3), 0..255. Returns uint8 of that shape."""
        from PIL import Image

        size = self.makeup.size
        side = max(2, round(scene.scale * size))
        drawing = self._sprites[scene.row].resize((side, side), Image.Resampling.BICUBIC)
        c, s = math.cos(math.radians(scene.turn)), math.sin(math.radians(scene.turn))
        half = side / 2
        back = (c, s, half - c * scene.x - s * scene.y, -s, c, half + s * scene.x - c * scene.y)  # picture -> drawing
        placed = drawing.transform((size, size), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
        layer = np.frombuffer(placed.tobytes(), np.uint8).reshape(size, size, 4).astype(np.float32)
        ground *= 1 - layer[:, :, 3:] / 255
        ground += layer[:, :, :3]
        return np.clip(ground + 0.5, 0, 255).astype(np.uint8)

    def _write(self, uid: int, scene: _Scene) -> tuple[str, ...]:
        random = self._random(uid, _CAPTIONS)
        count = 1 + int(random.random() < self.makeup.second_caption_share)
        colour = COLOURS[scene.colours[0]].name
        return write_captions(self._words[scene.label], colour, count, self.makeup.plain_caption_share, random)

    def _random(self, uid: int, stream: int) -> np.random.Generator:
        key = np.array([self.makeup.seed, SPLITS.index(self.split)], np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, stream, uid], np.uint64)))

    def _checked(self, uid: int) -> int:
        if not 0 <= uid < self._length:
            raise IndexError(f"uid {uid} of {self._length}")
        return int(uid)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.split} {self.makeup}".encode())
        digest.update(EMOJI_FILE.read_bytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a pair shows. x, y: centre of the drawing in px. turn: degrees. ground: kind. colours: of the ground."""

    label: int
    family: str
    row: int
    scale: float
    x: float
    y: float
    turn: float
    ground: int
    colours: tuple[int, int]


def _check(ok: bool, name: str, value: object, mend: str) -> None:
    check(ok, f"emoji.{name}", value, mend)
