"""Image sets published as arrays of pixels, as torchvision.datasets lays them on disk: CIFAR-10, CIFAR-100, STL-10,
SVHN. Parts of them as image_sets.py's, with uint8 RGB (N, H, W, 3) for pictures.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from safeclip.data.sources.image_sets import Part, mat_variable, part_of, read_file
from safeclip.data.sources.pickle_as_data import byte_array, read_pickle
from safeclip.errors import InputError

_STL_SIDE = 96
T = TypeVar("T")


def cifar10(folder: str, part: str) -> Part:
    """data_batch_1..5, test_batch, batches.meta: pickles, read as data."""
    files = [f"data_batch_{n}" for n in range(1, 6)] if part == "train" else ["test_batch"]
    return _cifar(folder, files, "labels", ("batches.meta", "label_names"))


def cifar100(folder: str, part: str) -> Part:
    """train, test, meta: the same, with the fine labels."""
    return _cifar(folder, [part], "fine_labels", ("meta", "fine_label_names"))


def stl10(folder: str, part: str) -> Part:
    """<part>_X.bin: (N, 3, column, row); <part>_y.bin: 1-based class; class_names.txt."""
    names = read_file(f"{folder}/class_names.txt").decode("utf-8", "replace").split()
    pixels = np.frombuffer(read_file(f"{folder}/{part}_X.bin"), np.uint8)
    if pixels.size % (3 * _STL_SIDE**2):
        raise InputError(f"data {folder}/{part}_X.bin: is cut short; fetch the set again")
    labels_N = np.frombuffer(read_file(f"{folder}/{part}_y.bin"), np.uint8).astype(np.int64) - 1
    return _part(pixels.reshape(-1, 3, _STL_SIDE, _STL_SIDE).transpose(0, 3, 2, 1), labels_N, names, folder)


def svhn(folder: str, part: str) -> Part:
    """<part>_32x32.mat: X (32, 32, 3, N) and y, where 10 is the digit 0. The names are the digits."""
    pixels = mat_variable(f"{folder}/{part}_32x32.mat", "X")
    labels_N = mat_variable(f"{folder}/{part}_32x32.mat", "y").ravel()
    if pixels.dtype != np.uint8 or pixels.shape[:-1] != (32, 32, 3) or labels_N.dtype.kind not in "iuf":
        raise InputError(f"data {folder}/{part}_32x32.mat: holds no pictures of 32 x 32 px; fetch the set again")
    digits_N = np.where(labels_N == 10, 0, labels_N).astype(np.int64)
    return _part(pixels.transpose(3, 0, 1, 2), digits_N, [str(digit) for digit in range(10)], folder)


def _cifar(folder: str, files: list[str], label_key: str, names_at: tuple[str, str]) -> Part:
    rows: list[np.ndarray] = []
    labels: list[int] = []
    for file in files:
        batch = _pickled(f"{folder}/{file}")
        try:
            pixels, found = byte_array(batch.get("data")), _all(int, batch.get(label_key))
        except ValueError as error:
            raise InputError(f"data {folder}/{file}: holds {error}; fetch the set again") from None
        if pixels.ndim != 2 or pixels.shape[1] != 3072 or len(found) != len(pixels):
            raise InputError(f"data {folder}/{file}: is no batch of 32 x 32 px pictures; fetch the set again")
        rows.append(pixels)
        labels += found
    try:
        names = _all(str, _pickled(f"{folder}/{names_at[0]}").get(names_at[1]))
    except ValueError as error:
        raise InputError(f"data {folder}/{names_at[0]}: holds {error}; fetch the set again") from None
    images = np.concatenate(rows).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return _part(images, np.array(labels, np.int64), names, folder)


def _pickled(path: str) -> dict[Any, Any]:
    try:
        value = read_pickle(read_file(path))
    except ValueError as error:
        raise InputError(f"data {path}: is not as it was published ({error}); fetch the set again") from None
    if not isinstance(value, dict):
        raise InputError(f"data {path}: is not as it was published (no dict); fetch the set again")
    return value


def _part(pictures: np.ndarray, labels_N: np.ndarray, names: list[str], folder: str) -> Part:
    if len(labels_N) and not 0 <= labels_N.min() <= labels_N.max() < len(names):
        raise InputError(f"data {folder}: a label is none of its {len(names)} classes; fetch the set again")
    return part_of(pictures, [names[label] for label in labels_N.tolist()], names, folder)


def _all(kind: type[T], values: Any) -> list[T]:
    """The list of values of one kind. Raises ValueError where it is another thing."""
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ValueError(f"no list of {kind.__name__} for classes")
    return values
