"""Pictures that a table or an annotation file names by path, and never from outside its folder.

What must stay true: a picture is read only from inside its root, once `..`, absolute paths and symlinks are resolved.
The root is `image_root` where one is given, else the folder of the file that names the picture. `image_root="/"`
therefore allows every path.
"""

from __future__ import annotations

import os
import stat

from safeclip.data.pairs import BadPair, Unreadable
from safeclip.data.sources.paths import is_url, open_binary
from safeclip.errors import InputError, reason

MAX_BYTES = 256 * 2**20
"""Larger image files are not read."""

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp")


class ImageFiles:
    """Image files under one root. root: folder that relative paths start from; None takes each call's own."""

    def __init__(self, root: str | None = None):
        self.root = None if root is None else (root if is_url(root) else os.path.expanduser(root))
        self._real: dict[str, str] = {}

    def read(self, path: str, folder: str = "") -> bytes:
        """The file's bytes. path: relative to the root, or absolute inside it. folder: the root where none was given.
        Raises BadPair.
        """
        root = folder if self.root is None else self.root
        if is_url(path):
            raise BadPair(f"image {_short(path)}: is a URL; download the pictures first, for instance with img2dataset")
        if is_url(root):
            return self._fetch(root, path)
        try:
            inside = self._inside(root, path)
            status = os.stat(inside)
            if not stat.S_ISREG(status.st_mode):
                raise BadPair(f"image {_short(path)}: not a file")
            if status.st_size > MAX_BYTES:
                raise BadPair(f"image {_short(path)}: {status.st_size:,} bytes are more than {MAX_BYTES:,}")
            with open(inside, "rb") as handle:
                return handle.read()
        except FileNotFoundError:
            raise Unreadable(f"image {_short(path)}: no such file in {root or '.'}") from None
        except (OSError, ValueError) as error:
            raise Unreadable(f"image {_short(path)}: cannot be read ({reason(error)})") from None

    def has(self, path: str, folder: str = "") -> bool:
        """Whether there is such a file inside the root."""
        try:
            return os.path.isfile(self._inside(folder if self.root is None else self.root, path))
        except (BadPair, ValueError):
            return False

    def _inside(self, root: str, path: str) -> str:
        if root not in self._real:
            self._real[root] = os.path.realpath(root or ".")
        real_root = self._real[root]
        real = os.path.realpath(os.path.join(real_root, path))
        if not path or (real != real_root and not real.startswith(real_root.rstrip(os.sep) + os.sep)):
            raise BadPair(f"image {_short(path)}: leads outside {root or '.'}; give its folder as data.image_root")
        return real

    def _fetch(self, root: str, path: str) -> bytes:
        if path.startswith("/") or ".." in path.split("/"):
            raise BadPair(f"image {_short(path)}: leads outside {root}")
        try:
            with open_binary(f"{root.rstrip('/')}/{path}") as handle:
                data = handle.read(MAX_BYTES + 1)
        except InputError as error:
            raise Unreadable(f"image {_short(path)}: cannot be read ({reason(error)})") from None
        if len(data) > MAX_BYTES:
            raise BadPair(f"image {_short(path)}: more than {MAX_BYTES:,} bytes")
        return data


def _short(path: str) -> str:
    return repr(path if len(path) <= 120 else path[:117] + "...")
