"""The rows of a manifest file, written out only once it is known how much they are.

    bytes = sum over all values of the value's own bytes, a value that repeats counted each time

Parquet keeps a value that repeats once, so that a file of kilobytes can stand for terabytes. What must stay true:
before anything is written out, memory holds about what the file's pages hold unpacked, and that is at most MAX_BYTES.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safeclip.attacks.manifest_check import require

MAX_BYTES = 4 * 2**30
VALUE_BYTES = 64
"""What a value costs in memory beside its own bytes."""


def read_rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    """A dict a row. Raises InputError where the rows are more than MAX_BYTES, pyarrow's errors on a damaged file."""
    meta = pq.read_metadata(path)
    parts = [meta.row_group(g).column(c) for g in range(meta.num_row_groups) for c in range(meta.num_columns)]
    _check(sum(part.total_uncompressed_size + VALUE_BYTES * part.num_values for part in parts))
    leaves = [meta.schema.column(i) for i in range(meta.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read(columns=columns)
    _check(sum(_own_bytes(chunk) for name in columns for chunk in table.column(name).chunks))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _own_bytes(chunk: pa.Array) -> int:
    """Bytes of its texts, of which each distinct one is stored once."""
    values = chunk.flatten() if pa.types.is_list(chunk.type) else chunk
    if not pa.types.is_dictionary(values.type):
        return 0
    lengths = pc.cast(pc.binary_length(values.dictionary), pa.int64())
    return pc.sum(pc.take(lengths, values.indices)).as_py() or 0


def _check(size: int) -> None:
    require(size <= MAX_BYTES, f"unpacks to {size} bytes; at most {MAX_BYTES} are read")
