"""simplejpeg and Pillow give one picture, whatever the file's colours, sampling, scale and orientation; and what the
one will not read, the other decides."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFile

from safeclip.data import decode as module
from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair
from tests.data.test_decode import LIMIT, encoded, scene

simplejpeg = pytest.importorskip("simplejpeg")


def smooth(width: int, height: int) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def both(data: bytes, monkeypatch: pytest.MonkeyPatch, short_side: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """By simplejpeg alone, and by Pillow alone."""
    with monkeypatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("Pillow decoded"))
        fast = decode(data, max_pixels=LIMIT, short_side=short_side)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_simplejpeg", lambda: None)
        slow = decode(data, max_pixels=LIMIT, short_side=short_side)
    return fast, slow


@pytest.mark.parametrize("short_side", [None, 300, 150, 70, 30])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(640, 401), (331, 517)])
@pytest.mark.parametrize("progressive", [False, True])
def test_both_decoders_give_one_picture(
    size: tuple[int, int], subsampling: int, short_side: int | None, progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(smooth(*size), "JPEG", quality=88, subsampling=subsampling, progressive=progressive)
    fast, slow = both(data, monkeypatch, short_side)
    assert fast.shape == slow.shape
    assert fast.flags.writeable
    assert np.abs(fast.astype(int) - slow).max() <= 2


@pytest.mark.parametrize("size", [(8, 8), (9, 30), (15, 8)])
def test_small_pictures_are_not_scaled_by_the_way(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = both(encoded(scene(*size), "JPEG", quality=95), monkeypatch)
    assert np.abs(fast.astype(int) - slow).max() <= 2


@pytest.mark.parametrize("short_side", [None, 1])
@pytest.mark.parametrize("size", [(7, 7), (2, 3), (5, 5), (30, 4)])
def test_a_scale_that_several_would_pass_for_is_left_to_pillow(
    size: tuple[int, int], short_side: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(scene(*size), "JPEG", quality=95, subsampling=1)
    found = decode(data, max_pixels=LIMIT, short_side=short_side)
    monkeypatch.setattr(module, "_simplejpeg", lambda: None)
    assert np.array_equal(found, decode(data, max_pixels=LIMIT, short_side=short_side))


def test_grey_pictures_and_turned_ones_are_the_same_too(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (encoded(smooth(90, 60).convert("L"), "JPEG"), encoded(smooth(90, 60), "JPEG", exif=exif.tobytes())):
        fast, slow = both(data, monkeypatch)
        assert fast.shape == slow.shape
        assert np.abs(fast.astype(int) - slow).max() <= 2


def test_inks_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a, **k: pytest.fail("asked"))
    assert decode(encoded(smooth(90, 60).convert("CMYK"), "JPEG"), max_pixels=LIMIT).shape == (60, 90, 3)


def test_what_simplejpeg_refuses_pillow_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(smooth(90, 60), "JPEG")
    with pytest.raises(BadPair):
        decode(data[: len(data) // 2], max_pixels=LIMIT)

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("a fault")

    whole = decode(data, max_pixels=LIMIT)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    assert np.abs(decode(data, max_pixels=LIMIT).astype(int) - whole).max() <= 2


def test_the_size_limit_holds_before_simplejpeg_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a, **k: pytest.fail("asked"))
    with pytest.raises(BadPair, match="max_pixels"):
        decode(encoded(smooth(90, 60), "JPEG"), max_pixels=90 * 60 - 1)
