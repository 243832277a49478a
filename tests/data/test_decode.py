"""Hostile and odd pictures: each becomes the whole picture or a BadPair, and nothing else happens."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair
from safeclip.errors import InputError

LIMIT = 1_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def scene(width: int = 61, height: int = 43) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x % 256, 5 * y % 256, 3 * (x + y) % 256], axis=2).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def png(width: int, height: int) -> bytes:
    """A PNG whose header claims this size and whose data is a few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", FORMATS)
def test_every_allowed_format_gives_its_pixels(form: str) -> None:
    image = scene()
    found = decode(encoded(image, form, **({"quality": 95} if form in ("JPEG", "WEBP") else {})), max_pixels=LIMIT)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    loss = {"PNG": 0, "BMP": 0}.get(form, 12)
    assert np.abs(found.astype(int) - image).mean() <= loss


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_anywhere_is_bad_or_whole_never_partly_grey(form: str) -> None:
    data = encoded(scene(), form)
    whole = decode(data, max_pixels=LIMIT)
    refused = 0
    for cut in range(0, len(data), max(1, len(data) // 60)):
        try:
            found = decode(data[:cut], max_pixels=LIMIT)
        except BadPair:
            refused += 1
        else:
            np.testing.assert_array_equal(found, whole, err_msg=f"cut at {cut} of {len(data)}")
    assert refused > 50


def test_truncated_pictures_are_not_read_as_grey_ones_where_pillow_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(InputError, match=r"LOAD_TRUNCATED_IMAGES = True.*set it to False"):
        decode(encoded(scene(), "JPEG"), max_pixels=LIMIT)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"not a picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF"]
)
def test_bytes_that_are_no_picture_are_bad(data: bytes) -> None:
    with pytest.raises(BadPair, match=r"^image: "):
        decode(data, max_pixels=LIMIT)


@pytest.mark.parametrize("form", ["EPS", "PDF", "TIFF", "PPM", "ICO", "TGA", "PCX", "SGI"])
def test_formats_off_the_list_are_refused_though_pillow_reads_them(form: str) -> None:
    with pytest.raises(BadPair, match="not a JPEG, PNG, WebP, GIF or BMP"):
        decode(encoded(scene(16, 16), form), max_pixels=LIMIT)


def test_a_decompression_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(BadPair, match=r"30000 x 30000 px is more than data.max_pixels = 50000000"):
            decode(png(30_000, 30_000), max_pixels=50_000_000)
        with pytest.raises(BadPair, match="10000 x 10000 px is more"):
            decode(png(10_000, 10_000), max_pixels=50_000_000)
    assert caught == []


def test_a_jpeg_of_endless_scans_is_refused_and_one_of_usual_ones_is_not() -> None:
    data = encoded(scene(), "JPEG", progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    assert 5 < data.count(b"\xff\xda") < 20
    for more, wanted in ((10, None), (200, "more than 100 scans")):
        again = data[:end] + data[last:end] * more + data[end:]
        if wanted is None:
            assert decode(again, max_pixels=10_000).shape == (43, 61, 3)
        else:
            with pytest.raises(BadPair, match=wanted):
                decode(again, max_pixels=10_000)


def test_what_looks_like_scans_in_a_segment_or_behind_the_end_is_none() -> None:
    data, like = encoded(scene(), "JPEG"), b"\xff\xda\x00\x02" * 200
    within = data[:2] + b"\xff\xe5" + (len(like) + 2).to_bytes(2, "big") + like + data[2:]
    for odd in (within, data + like):
        assert np.array_equal(decode(odd, max_pixels=10_000), decode(data, max_pixels=10_000))


def test_filler_before_a_jpegs_segments_costs_no_more_than_its_bytes() -> None:
    data = encoded(scene(), "JPEG")
    padded = data[:2] + b"\xff" * 40 + data[2:]
    assert np.array_equal(decode(padded, max_pixels=10_000), decode(data, max_pixels=10_000))
    for count, junk in ((16_000, b"\xff"), (300_000, b"\xff"), (300_000, b"\0"), (100, b"\xff" * 3000 + b"\xfe\0\2")):
        start = time.process_time()
        with contextlib.suppress(BadPair):
            decode(data[:2] + junk * count + b"\0" + data[2:], max_pixels=10_000)
        assert time.process_time() - start < 1.0


def run_length_bmp(width: int, height: int, body: bytes) -> bytes:
    colours = b"\0\0\0\0" * 256
    offset = 54 + len(colours)
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + about + colours + body


def test_a_run_length_bmp_is_refused_undecoded_since_pillow_decodes_it_in_python() -> None:
    for width in (1, 2_000_000):
        start = time.process_time()
        with pytest.raises(BadPair, match="a run-length BMP"):
            decode(run_length_bmp(width, 1, b"\1\7\0\0"), max_pixels=50_000_000)
        assert time.process_time() - start < 0.3


def test_max_pixels_itself_is_allowed() -> None:
    assert decode(encoded(scene(50, 40), "PNG"), max_pixels=2000).shape == (40, 50, 3)
    with pytest.raises(BadPair, match="max_pixels = 1999"):
        decode(encoded(scene(50, 40), "PNG"), max_pixels=1999)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(scene()).convert(mode)
    found = decode(encoded(image, "JPEG" if mode == "CMYK" else "PNG"), max_pixels=LIMIT)
    expected = np.asarray(image.convert("RGB"))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() <= (12 if mode == "CMYK" else 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(mode: str) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, :, 3], pixels[1, :, 3] = 0, 255
    found = decode(encoded(Image.fromarray(pixels).convert(mode), "PNG"), max_pixels=LIMIT)
    assert (found[0] == 255).all()
    assert (found[1] == 0).all()


def test_half_transparent_black_is_grey() -> None:
    pixels = np.zeros((1, 1, 4), np.uint8)
    pixels[..., 3] = 128
    assert decode(encoded(pixels, "PNG"), max_pixels=LIMIT)[0, 0].tolist() == [127, 127, 127]


def test_a_transparent_colour_of_an_rgb_png_lies_on_white() -> None:
    pixels = np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)
    found = decode(encoded(pixels, "PNG", transparency=(1, 2, 3)), max_pixels=LIMIT)
    assert found[0].tolist() == [[255, 255, 255], [9, 9, 9]]


def test_sixteen_bits_are_cut_to_eight_not_clipped() -> None:
    levels = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    found = decode(encoded(levels, "PNG"), max_pixels=LIMIT)
    assert found[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    data = encoded(
        frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "WEBP" else {})
    )
    assert (decode(data, max_pixels=LIMIT) == [255, 0, 0]).all()


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_extreme_shapes_are_read_as_they_are(size: tuple[int, int], form: str) -> None:
    assert decode(encoded(Image.new("RGB", size, "red"), form), max_pixels=LIMIT).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("short", "expected"), [(None, 400), (400, 400), (201, 400), (200, 200), (64, 100), (50, 50), (1, 50)]
)
@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_is_scaled_down_but_never_below_the_short_side(form: str, short: int | None, expected: int) -> None:
    data = encoded(scene(640, 400), form)
    assert decode(data, max_pixels=LIMIT, short_side=short).shape == (expected, expected * 640 // 400, 3)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("size", [(64, 64), (250, 127), (127, 127)])
def test_nothing_changes_below_twice_the_short_side(form: str, size: tuple[int, int]) -> None:
    data = encoded(scene(*size), form, **({"lossless": True} if form == "WEBP" else {}))
    assert np.array_equal(decode(data, max_pixels=LIMIT, short_side=64), scene(*size))


@pytest.mark.parametrize("size", [(256, 512), (255, 517)])
def test_what_is_scaled_down_is_averaged_as_a_jpeg_is(size: tuple[int, int]) -> None:
    smooth = np.asarray(Image.fromarray(scene(8, 8)).resize(size, Image.Resampling.BICUBIC))
    small = decode(encoded(smooth, "PNG"), max_pixels=LIMIT, short_side=100)
    jpeg = decode(encoded(smooth, "JPEG", quality=98, subsampling=0), max_pixels=LIMIT, short_side=100)
    assert small.shape == jpeg.shape
    assert np.abs(small.astype(int) - jpeg).mean() < 2
    if size[0] % 2 == 0:
        blocks = smooth.reshape(size[1] // 2, 2, size[0] // 2, 2, 3).mean((1, 3))
        assert np.abs(small - blocks).max() <= 0.5


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
def test_other_modes_are_scaled_down_too(mode: str) -> None:
    flat = Image.new(mode, (40, 32))
    assert decode(encoded(flat, "PNG"), max_pixels=LIMIT, short_side=8).shape == (8, 10, 3)


def test_the_size_limit_holds_before_scaling() -> None:
    with pytest.raises(BadPair, match="max_pixels"):
        decode(encoded(scene(640, 400), "JPEG"), max_pixels=640 * 400 - 1, short_side=50)


def test_arrays_come_back_as_they_are() -> None:
    image = scene()
    assert decode(image, max_pixels=LIMIT) is image


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1001, 1000, 3), np.uint8),
    ],
)
def test_other_arrays_are_bad(array: np.ndarray) -> None:
    with pytest.raises(BadPair, match=r"^image: "):
        decode(array, max_pixels=LIMIT)


def test_what_is_decoded_can_be_written_to() -> None:
    for form in FORMATS:
        assert decode(encoded(scene(), form), max_pixels=LIMIT).flags.writeable


def test_pillow_stays_as_it_was() -> None:
    def state() -> tuple[object, ...]:
        return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(Image.ID), list(warnings.filters)

    before = state()
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (encoded(scene(), "JPEG", exif=exif.tobytes()), png(9000, 9000), b"rubbish"):
        try:
            decode(data, max_pixels=LIMIT)
        except BadPair:
            continue
    assert state() == before


SEEDS = [encoded(scene(24, 16), form) for form in FORMATS]
SEEDS.append(encoded(Image.new("RGB", (8, 8)), "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]))
SEEDS.append(
    encoded(scene(24, 16), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_file_is_a_picture_or_bad_and_warns_nobody(data: bytes, damage: list[tuple[int, int]]) -> None:
    hurt = bytearray(data)
    for place, value in damage:
        hurt[place % len(hurt)] = value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = decode(bytes(hurt), max_pixels=LIMIT)
        except BadPair:
            found = None
        if found is not None:
            assert found.dtype == np.uint8
            assert found.ndim == 3
            assert found.shape[2] == 3
    assert caught == []


def test_a_path_is_not_opened(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    with pytest.raises(BadPair):
        decode(str(tmp_path / "a.png").encode(), max_pixels=LIMIT)
