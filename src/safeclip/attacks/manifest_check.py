"""What must hold in a manifest before anything is read through it: a manifest may come from anyone.

Each message names the field, the value and the mend; the caller adds the file's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safeclip.attacks.text_trigger import TextTrigger
from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair
from safeclip.errors import InputError

if TYPE_CHECKING:
    from safeclip.attacks.manifest import Manifest, Planted

_ATTACK_TYPES: dict[str, type] = {"name": str, "kind": str, "seed": int, "class_names": list}
_AGAINST = {
    "targeted": ("targets",),
    "backdoor": ("target_class",),
    "swap": ("target_class", "from_class"),
    "text": ("target_class",),
}
"""Fields that say what is attacked and as what, by kind."""
KINDS = tuple(_AGAINST)
MAX_PIXELS = 50_000_000
"""A planted picture of more pixels is refused as a decompression bomb."""
MAX_TARGET_PIXELS = 500_000_000
"""Of all target pictures together: each is kept decoded, 3 bytes a pixel."""


def require(ok: bool, message: str) -> None:
    if not ok:
        raise InputError(message)


def check_about(source: Any, attacks: Any) -> None:
    """The metadata: the data set's name, fingerprint and length, and a dict an attack. Raises InputError."""
    require(isinstance(source, dict), f"source = {_short(source)}: give name, fingerprint and length of the data")
    for key, kind in (("name", str), ("fingerprint", str), ("length", int)):
        require(_is(source.get(key), kind), f"source.{key} = {_short(source.get(key))}: give {kind.__name__}")
    require(isinstance(attacks, list | tuple), f"attacks = {_short(attacks)}: give a list of them")
    for number, attack in enumerate(attacks):
        at = f"attacks[{number}]"
        require(isinstance(attack, dict), f"{at} = {_short(attack)}: give an object")
        for key, type_ in _ATTACK_TYPES.items():
            require(_is(attack.get(key), type_), f"{at}.{key} = {_short(attack.get(key))}: give {type_.__name__}")
        require(attack["name"] != "", f"{at}.name is empty; name the attack")
        require(attack["name"].isprintable(), f"{at}.name = {_short(attack['name'])}: give printable text")
        require(attack["kind"] in KINDS, f"{at}.kind = {_short(attack['kind'])}: give one of {', '.join(KINDS)}")
        names = attack["class_names"]
        require(all(_is_text(name) for name in names), f"{at}.class_names: give text alone")
        if attack["kind"] == "targeted":
            _check_targets(at, attack, names)
        for key in ("targets", "target_class", "from_class"):
            value, given = attack.get(key), f"{at}.{key} = {_short(attack.get(key))}"
            if key not in _AGAINST[attack["kind"]]:
                unread = key not in attack or (key != "targets" and (value is None or isinstance(value, str)))
                require(unread, f"{given}: a {attack['kind']} attack has none; leave it out")
            elif key != "targets":
                require(isinstance(value, str) and value in names, f"{given}: name one of class_names")
        if attack["kind"] == "swap":
            require(attack["from_class"] != attack["target_class"], f"{at}.from_class is target_class; give two")
        if attack["kind"] == "text":
            try:
                TextTrigger.from_value(attack.get("text_trigger"))
            except InputError as error:
                raise InputError(f"{at}.{error}") from None
    listed = [attack["name"] for attack in attacks]
    require(
        len(set(listed)) == len(listed), f"attacks {', '.join(listed)}: two have the same name; give another with name="
    )


def check_manifest(manifest: Manifest) -> None:
    """Rows, target pictures and metadata fit together, and every picture can be decoded. Raises InputError."""
    length = manifest.source["length"]
    kinds = {attack["name"]: attack["kind"] for attack in manifest.attacks}
    indices = {(a["name"], target["index"]) for a in manifest.attacks for target in a.get("targets", ())}
    require(
        manifest.pictures.keys() == indices, "the targets and their pictures do not fit together; plan the attack anew"
    )
    before = None
    for row in manifest.planted:
        require(
            0 <= row.uid < length, f"uid {row.uid} is outside the data (0..{length - 1}); plan the attack on this data"
        )
        require(row.uid != before, f"uid {row.uid} is planted twice; give each uid one row")
        before = row.uid
        require(
            row.attack in kinds,
            f"uid {row.uid}: attack {_short(row.attack)} is not among the metadata's {', '.join(kinds)}",
        )
        key = row.attack, row.target_index
        require(row.target_index == -1 or key in indices, f"uid {row.uid}: there is no target {row.target_index}")
        require(
            row.caption is None or bool(row.caption.strip()), f"uid {row.uid}: the caption is empty; give text, or null"
        )
        if row.image is not None:
            _check_picture(f"uid {row.uid}", row.image)
    pixels = 0
    for (name, index), picture in manifest.pictures.items():
        pixels += _check_picture(f"target {index} of {name}", picture)
        require(pixels <= MAX_TARGET_PIXELS, f"target pictures of more than {MAX_TARGET_PIXELS} px; plan fewer targets")
    by_attack: dict[str, list[Planted]] = {name: [] for name in kinds}
    for row in manifest.planted:
        by_attack[row.attack].append(row)
    for attack in manifest.attacks:
        rows = by_attack[attack["name"]]
        if attack["kind"] == "backdoor":
            triggers = {
                None if row.trigger is None else row.trigger.to_json()
                for row in rows
                if row.trigger is not None or row.image is None  # a picture of its own may bear it already
            }
            alike = len(triggers) == 1 and None not in triggers
            require(alike, f"{attack['name']}: a backdoor, whose rows have not one and the same trigger; plan it anew")
        elif attack["kind"] == "text":
            text = attack["text_trigger"]["text"]
            bears = any(text in (row.caption or "") for row in rows)
            require(bears, f"{attack['name']}: a text backdoor, and no caption has its trigger; plan it anew")
        elif attack["kind"] == "swap":
            bears = any(row.caption is not None for row in rows)
            require(bears, f"{attack['name']}: a swap, and no row has a new caption; plan it anew")


def _check_targets(at: str, attack: dict[str, Any], names: list[str]) -> None:
    targets, known = attack.get("targets"), set(names)
    require(isinstance(targets, list) and bool(targets), f"{at}.targets = {_short(targets)}: give the target pictures")
    seen = set()
    for target in attack["targets"]:
        require(isinstance(target, dict), f"{at}.targets: give objects")
        index = target.get("index")
        require(
            _is(index, int) and index >= 0 and index not in seen,
            f"{at}.targets: index {_short(index)} is no new number",
        )
        seen.add(index)
        true, called, uid = target.get("true"), target.get("target"), target.get("uid")
        require(_is_text(true), f"{at}.targets[{index}].true = {_short(true)}: give text")
        require(
            isinstance(called, str) and called in known,
            f"{at}.targets[{index}].target = {_short(called)}: name one of class_names",
        )
        require(called != true, f"{at}.targets[{index}]: {_short(true)} is its own target; give another class")
        require(
            uid is None or (_is(uid, int) and 0 <= uid < 2**63),
            f"{at}.targets[{index}].uid = {_short(uid)}: give a number of the held-out data, or null",
        )


def _check_picture(what: str, data: bytes) -> int:
    """Its pixels."""
    require(data[:8] == b"\x89PNG\r\n\x1a\n", f"{what}: the picture is no PNG; write it with `safeclip poison`")
    try:
        height, width, _ = decode(data, max_pixels=MAX_PIXELS).shape
    except BadPair as bad:
        raise InputError(f"{what}: the picture cannot be used ({bad}); write it anew") from None
    return int(height * width)


def _is_text(value: object) -> bool:
    """Text that a file can hold: JSON also has half characters."""
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode("utf-8")


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
