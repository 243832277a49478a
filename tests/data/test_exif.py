"""EXIF says how a picture stands, and nothing else: neither time nor memory nor other threads hang on it."""

from __future__ import annotations

import importlib
import struct
import threading
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair
from tests.data.test_decode import LIMIT, encoded, scene

decode_module = importlib.import_module("safeclip.data.decode")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(form: str, orientation: int) -> None:
    quarters = np.zeros((32, 48, 3), np.uint8)
    quarters[:16, :24], quarters[:16, 24:], quarters[16:, :24] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {  # EXIF 2.3: where the stored row 0 and column 0 belong
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.transpose(1, 0, 2),
        6: quarters.transpose(1, 0, 2)[::-1],
        7: quarters.transpose(1, 0, 2)[::-1, ::-1],
        8: quarters.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(np.ascontiguousarray(stored), form, exif=exif.tobytes()), max_pixels=LIMIT)
    assert found.shape == quarters.shape
    assert np.abs(found.astype(int) - quarters).mean() < 12


def test_broken_exif_leaves_the_picture_readable_and_warns_nobody() -> None:
    rubbish = [
        b"Exif\0\0" + bytes([i % 251 for i in range(60)]),
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0" * 4,
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for exif in rubbish:
            for form in ("JPEG", "PNG", "WEBP"):
                assert decode(encoded(scene(), form, exif=exif), max_pixels=LIMIT).shape == (43, 61, 3)
    assert caught == []


def segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body


def tiff(entries: int, size: int) -> bytes:
    """A directory of so many entries, each of which claims nearly the whole block as its value."""
    claims = b"".join(struct.pack(">HHII", 0x9000 + i, 7, size - 16, 8) for i in range(entries))
    return (b"MM\0*" + struct.pack(">IH", 8, entries) + claims).ljust(size, b"\0")


def test_exif_that_would_take_time_and_memory_with_the_square_of_its_size_is_never_read() -> None:
    plain = encoded(scene(), "JPEG")
    wanted = decode(plain, max_pixels=LIMIT)
    whole = segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 40 + segment(0xE1, b"Exif\0\0a") * 4000
    bombs = [plain[:2] + whole + plain[2:], plain[:2] + segment(0xE1, b"Exif\0\0" + tiff(5000, 65_000)) + plain[2:]]
    bombs.append(encoded(scene(), "PNG", exif=tiff(8000, 100_000)))
    for bomb in bombs:
        tracemalloc.start()
        start = time.process_time()
        found = decode(bomb, max_pixels=LIMIT)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).mean() < 12
        assert most < 4 * len(bomb) + 2e6
        assert time.process_time() - start < 1.0
    with pytest.raises(BadPair, match="a JPEG of more than 4096 segments before its picture"):
        decode(plain[:2] + segment(0xFE, b"a") * 5000 + plain[2:], max_pixels=LIMIT)


def test_the_first_exif_of_several_says_how_the_picture_stands() -> None:
    stored = encoded(scene(), "JPEG")
    turned, other = (Image.Exif() for _ in range(2))
    turned[0x0112], other[0x0112] = 6, 3
    both = segment(0xE1, turned.tobytes()) + segment(0xFE, b"a comment") + segment(0xE1, other.tobytes())
    found = decode(stored[:2] + both + stored[2:], max_pixels=LIMIT)
    assert (found == np.rot90(decode(stored, max_pixels=LIMIT), -1)).all()
    for kind, count in ((4, 1), (3, 2)):  # a long number, two short ones
        block = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, kind, count, 6, 6, 0)
        assert decode(stored[:2] + segment(0xE1, b"Exif\0\0" + block) + stored[2:], max_pixels=LIMIT).shape == (
            43,
            61,
            3,
        )


@pytest.mark.parametrize("junk", [b"", b"\0", b"\0\1\2padding"])
@pytest.mark.parametrize("empty", [b"", segment(0xE1, b"Exif\0\0"), segment(0xE1, b"Exif\0\0Exif\0\0")])
def test_what_stands_around_exif_refuses_no_picture(junk: bytes, empty: bytes) -> None:
    stored, turned = encoded(scene(), "JPEG"), Image.Exif()
    turned[0x0112] = 6
    found = decode(stored[:2] + empty + segment(0xE1, turned.tobytes()) + junk + stored[2:], max_pixels=LIMIT)
    assert (found == np.rot90(decode(stored, max_pixels=LIMIT), -1)).all()


def test_pictures_with_exif_are_decoded_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    pictures = [encoded(scene(), form, exif=exif.tobytes()) for form in ("JPEG", "PNG", "WEBP")]
    inside = threading.Barrier(3, timeout=5.0)
    opened = decode_module._opened
    monkeypatch.setattr(decode_module, "_opened", lambda data: (inside.wait(), opened(data))[1])
    with ThreadPoolExecutor(3) as threads:
        assert len([*threads.map(lambda data: decode(data, max_pixels=LIMIT), pictures)]) == 3
