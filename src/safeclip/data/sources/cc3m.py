"""CC3M: a TSV of captions beside the pictures that were downloaded for it.

Two forms. *With a header* (title, filepath: what open_clip's gather_cc.py writes), or two cells of which the second
is a path: a table like any TSV. *Google's own file* (Train_GCC-training.tsv: caption and URL, no header): row N,
counted from 0, is the picture N.jpg, or N_CRC as DownloadConceptualCaptions names it. What must stay true: rows of
dead links, about a fifth of the official file, are not pairs of the set; `not_downloaded` counts them.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from safeclip.data.pairs import Pair
from safeclip.data.sources import columns as find
from safeclip.data.sources.delimited import MAX_ROW, Delimited, split_row
from safeclip.data.sources.image_files import ImageFiles
from safeclip.data.sources.labelled import Labelled, Texts, fingerprint, usable
from safeclip.data.sources.paths import is_url, only_file, open_binary
from safeclip.data.sources.tabular import TabularSource, open_tsv
from safeclip.errors import InputError

_NUMBERED = re.compile(r"0*(\d{1,12})(?:_\d+)?(?:\.(?:jpe?g|jpe|jfif|png|webp|gif|bmp))?", re.IGNORECASE)


def open_cc3m(
    name: str, path: str, *, image_root: str | None = None, **settings: Any
) -> TabularSource | DownloadedSource:
    """Pictures: image_root, else `images` beside the TSV where there is such a folder, else the TSV's folder. Raises
    InputError.
    """
    file = only_file(path)
    cells = _first_row(file)
    if set(cells) & {*find.CAPTION_NAMES, settings.get("caption_column")}:
        return open_tsv(name, file, image_root=image_root, **settings)
    if len(cells) != 2:
        raise InputError(
            f"data {file}: its first row has {len(cells)} cells; CC3M's TSV has a caption, a tab, and a URL or path"
        )
    beside = os.path.join(find.folder_of(file), "images")
    root = image_root or (beside if os.path.isdir(beside) else find.folder_of(file))
    if is_url(cells[1]):
        return DownloadedSource(name, Delimited([file], b"\t", header=("caption", "url"), quoted=False), root)
    table = Delimited([file], b"\t", header=("caption", "image_path"), quoted=False)
    return TabularSource(name, "cc3m", table, split=settings.get("split", "train"), image_root=root)


class DownloadedSource(Labelled):
    """Rows of a caption-and-URL TSV whose pictures lie in a folder by row number: a Source (safeclip.data.pairs)."""

    def __init__(self, name: str, table: Delimited, root: str):
        found = _pictures(root, len(table))
        if not found:
            raise InputError(
                f"data {name}: no picture named by row, such as 0.jpg, in {root}; give their folder as data.image_root"
            )
        rows = sorted(found)
        self._table, self._rows_N, self._files = table, np.array(rows, np.int64), ImageFiles(root)
        self._names = Texts([found[row]] for row in rows)
        self.not_downloaded = len(table) - len(rows)
        super().__init__(name, fingerprint("cc3m", table.files, "", len(rows)), len(rows))

    def __getitem__(self, uid: int) -> Pair:
        captions = self.captions(uid)
        return Pair(self._files.read(self._names[uid][0]), captions)

    def captions(self, uid: int) -> tuple[str, ...]:
        return usable(self._table.cells(int(self._rows_N[self._checked(uid)]), ("caption",)))


def _first_row(file: str) -> list[str]:
    with open_binary(file) as handle:
        record = handle.readline(MAX_ROW).removeprefix(b"\xef\xbb\xbf")
    return [cell.decode("utf-8", "replace").strip() for cell in split_row(record, b"\t", quoted=False)]


def _pictures(root: str, rows: int) -> dict[int, str]:
    """Row -> file name, the first in order where a row has several."""
    found: dict[int, str] = {}
    try:
        with os.scandir(os.path.expanduser(root)) as entries:
            for entry in entries:
                match = _NUMBERED.fullmatch(entry.name)
                if match is not None and int(match.group(1)) < rows:
                    row = int(match.group(1))
                    found[row] = min(found.get(row, entry.name), entry.name)
    except OSError as error:
        raise InputError(f"data.image_root = {root!r}: cannot be listed ({error.strerror}); check the path") from None
    return found
