"""JSON annotation files: whole, or a top-level list one item at a time, for files larger than memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

from safeclip.data.sources.paths import open_binary
from safeclip.errors import InputError, reason

_CHUNK = 2**20
_LARGEST_ITEM = 256 * 2**20


def load(path: str) -> Any:
    """The file's content. Raises InputError."""
    with open_binary(path) as handle:
        try:
            return json.loads(handle.read().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"data {path}: not JSON ({reason(error)})") from None


def items(path: str) -> Iterator[dict[str, Any]]:
    """The objects of the file's top-level list. Raises InputError."""
    decoder, broken = json.JSONDecoder(), f"data {path}: not a JSON list of objects"
    with open_binary(path) as handle:
        text = codecs.getreader("utf-8-sig")(handle)
        try:
            buffer, at = text.read(_CHUNK).lstrip(), 1
            if not buffer.startswith("["):
                raise InputError(f"{broken}; check that it is the file you meant")
            while True:
                while at < len(buffer) and buffer[at] in " \t\r\n,":
                    at += 1
                if buffer[at : at + 1] == "]":
                    return
                if buffer[at : at + 1] not in ("", "{"):
                    raise InputError(f"{broken}; it is damaged")
                try:
                    item, at = decoder.raw_decode(buffer, at)
                    yield item
                except (ValueError, RecursionError) as error:  # the item goes on after what was read, or is broken
                    more = "" if len(buffer) - at > _LARGEST_ITEM else text.read(max(_CHUNK, len(buffer) - at))
                    if not more:
                        raise InputError(f"{broken} ({reason(error)}); it is damaged or truncated") from None
                    buffer, at = buffer[at:] + more, 0
        except UnicodeDecodeError:
            raise InputError(f"{broken}: not UTF-8") from None
