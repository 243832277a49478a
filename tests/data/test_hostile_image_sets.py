"""Published image sets whose files nobody has checked: code, damage and paths that lead elsewhere."""

from __future__ import annotations

import io
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from safeclip.data.pairs import BadPair
from safeclip.data.sources.pickle_as_data import Call, byte_array, read_pickle
from safeclip.errors import InputError
from tests.data.made import jpeg, write, write_json
from tests.data.test_torchvision_sets import opened, seen, summed
from tests.data.tiny_sets import MAKE, python2_pickle


@pytest.mark.parametrize("protocol", range(5))
def test_a_pickle_of_plain_values_is_read_as_unpickling_reads_it(protocol: int) -> None:
    value = {"a": [1, -5, 70_000, 2**40, 1.5, None, True, False], "b": ("x", (), (1,), (1, 2), (1, 2, 3, 4)), "c": {}}
    value["twice"] = [value["a"], value["a"]]
    assert read_pickle(pickle.dumps(value, protocol)) == value
    for array in (
        np.arange(24, dtype=np.uint8).reshape(2, 12),
        np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
    ):
        np.testing.assert_array_equal(byte_array(read_pickle(pickle.dumps(array, protocol))), array)


def test_a_call_in_a_pickle_is_a_record_of_it() -> None:
    code = pickle.dumps(os.path.join, 2)
    assert read_pickle(code) == Call("posixpath join")
    assert read_pickle(code[:-1] + b"U\x01aU\x01b\x86R.") == Call("posixpath join", ("a", "b"))


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros(3, object), np.zeros(3, np.int8), b"abc", [0, 1, 2]])
def test_what_is_no_array_of_bytes_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"array"):
        byte_array(read_pickle(pickle.dumps(value, 2)))


@pytest.mark.parametrize("cut", [0, 1, 2, 10, 40, 60])
def test_a_cut_pickle_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_pickle(pickle.dumps({"a": list(range(50))}, 2)[:cut])


def test_a_small_pickle_that_takes_forever_is_refused_at_once() -> None:
    twice = b"\x80\x04)\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(100))
    with pytest.raises(ValueError, match="keys are no plain values"):
        read_pickle(twice + b"}hdNs.")  # a tuple with 2^100 leaves as a key
    started = time.monotonic()
    many = read_pickle(b"\x80\x04(" + b"N" * 20_000 + b"(t" * 20_000 + b"t.")
    assert many == (None,) * 20_000 + ((),) * 20_000
    assert time.monotonic() - started < 10, "each mark is sought from the top"


class Hostile:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return io.open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["whole", "data", "labels"])
def test_a_pickle_with_code_in_it_is_refused_and_the_code_never_runs(where: str, protocol: int, tmp_path: Path) -> None:
    MAKE["CIFAR10"](tmp_path)
    hostile = Hostile(tmp_path / "the code ran")
    batch = {"labels": [0], "data": np.zeros((1, 3072), np.uint8)}
    value = hostile if where == "whole" else batch | {where: hostile}
    write(tmp_path / "cifar-10-batches-py/test_batch", pickle.dumps(value, protocol))
    with pytest.raises(InputError, match=r"test_batch: .*fetch the set again"):
        opened("CIFAR10", tmp_path, "test")
    assert not (tmp_path / "the code ran").exists()


def test_a_cifar_batch_that_python_3_pickled_again_is_read_too(tmp_path: Path) -> None:
    MAKE["CIFAR10"](tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), np.uint8)
    write(tmp_path / "cifar-10-batches-py/test_batch", pickle.dumps({"labels": [1, 0], "data": pixels}, 4))
    assert [pixels for pixels, _ in seen(opened("CIFAR10", tmp_path, "test"))] == [
        summed(row.reshape(3, 32, 32).transpose(1, 2, 0)) for row in pixels
    ]


def damaged_cifar_cut(root: Path) -> str:
    file = root / "cifar-10-batches-py/test_batch"
    file.write_bytes(file.read_bytes()[:-200])
    return "CIFAR10"


def damaged_cifar_size(root: Path) -> str:
    batch = {"labels": [0], "data": np.zeros((1, 3071), np.uint8)}
    write(root / "cifar-10-batches-py/test_batch", python2_pickle(batch))
    return "CIFAR10"


def damaged_cifar_label(root: Path) -> str:
    batch = {"labels": [2], "data": np.zeros((1, 3072), np.uint8)}
    write(root / "cifar-10-batches-py/test_batch", python2_pickle(batch))
    return "CIFAR10"


def damaged_stl_cut(root: Path) -> str:
    write(root / "stl10_binary/test_X.bin", b"\0" * 100)
    return "STL10"


def damaged_mat(root: Path) -> str:
    write(root / "flowers-102/setid.mat", b"MATLAB 5.0 MAT-file" + b"\xff" * 200)
    return "Flowers102"


def damaged_flower_number(root: Path) -> str:
    from scipy.io import savemat

    savemat(root / "flowers-102/setid.mat", {"tstid": np.array([[10]], np.uint16)})
    return "Flowers102"


def damaged_json(root: Path) -> str:
    write(root / "food-101/meta/test.json", "[" * 100_000)
    return "Food101"


def damaged_pipe(root: Path) -> str:
    (root / "food-101/meta/test.json").unlink()
    os.mkfifo(root / "food-101/meta/test.json")
    return "Food101"


def damaged_device(root: Path) -> str:
    (root / "stl10_binary/test_X.bin").unlink()
    (root / "stl10_binary/test_X.bin").symlink_to("/dev/zero")
    return "STL10"


def damaged_json_form(root: Path) -> str:
    write_json(root / "food-101/meta/test.json", ["apple_pie"])
    return "Food101"


def damaged_variant(root: Path) -> str:
    write(root / "fgvc-aircraft-2013b/data/images_variant_test.txt", "1000000 Spaceship\n")
    return "FGVCAircraft"


def damaged_list(root: Path) -> str:
    (root / "oxford-iiit-pet/annotations/test.txt").unlink()
    return "OxfordIIITPet"


DAMAGE = [value for name, value in list(globals().items()) if name.startswith("damaged_")]


@pytest.mark.parametrize("damage", DAMAGE, ids=[damage.__name__ for damage in DAMAGE])
def test_a_damaged_set_is_one_line_of_bad_input(damage: Any, tmp_path: Path) -> None:
    for name in ("CIFAR10", "STL10", "Flowers102", "Food101", "FGVCAircraft", "OxfordIIITPet"):
        MAKE[name](tmp_path)
    name = damage(tmp_path)
    with pytest.raises(InputError, match="again") as error:
        opened(name, tmp_path, "test")
    assert "\n" not in str(error.value)


def test_a_listed_picture_outside_the_sets_folder_is_never_read(tmp_path: Path) -> None:
    MAKE["Food101"](tmp_path)
    write(tmp_path / "secret.jpg", jpeg(0))
    write_json(tmp_path / "food-101/meta/test.json", {"apple_pie": ["../../secret"], "waffles": ["waffles/test0"]})
    source = opened("Food101", tmp_path, "test")
    with pytest.raises(BadPair, match="leads outside"):
        source[0]
    assert Image.open(io.BytesIO(source[1].image)).size == (8, 8)
