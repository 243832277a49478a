"""From an encoded picture to uint8 RGB, for files that nobody has checked.

What must stay true: a file either becomes the whole picture or raises BadPair. Its header is checked before a pixel
is decoded, and only the five formats below are ever tried: none that runs a program (EPS) or a large C library (TIFF).
Pillow's own settings stay as they are.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from safeclip.data.pairs import BadPair
from safeclip.errors import InputError


def decode(data: bytes | np.ndarray, *, max_pixels: int, short_side: int | None = None) -> np.ndarray:
    """The picture as uint8 RGB (H, W, 3).

    The first frame of an animation, upright by its EXIF orientation, transparency on white, 16-bit levels cut to 8.

    data: a JPEG, PNG, WebP, GIF or BMP file, or a uint8 RGB array, which is checked and returned as it is.
    max_pixels: pictures whose header says more are refused undecoded.
    short_side: a picture comes at 1/2, 1/4 or 1/8 scale as long as its short side keeps this many px; None never. JPEGs
    are decoded at that scale, the others averaged to it.
    A JPEG without faults is decoded by simplejpeg where that is installed (extra `fast`): the same pixels, sooner.
    Raises BadPair.
    """
    if isinstance(data, np.ndarray):
        return _checked(data, max_pixels)
    if not data:
        raise BadPair("image: empty file")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise InputError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True: truncated pictures would be read as grey ones; set it to False"
        )
    with _silenced() if b"acTL" in data and not data.startswith(_JPEG) else contextlib.nullcontext():
        return _decoded(data, max_pixels, short_side)


_JPEG = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_SCAN, _END = 0xDA, 0xD9
_APP1, _EXIF = 0xE1, b"Exif\0\0"
_MOST_SCANS = 100
"""Of a JPEG: each scan goes over the whole picture, whatever few bytes it has, and programs write about ten."""
_MOST_SEGMENTS = 4096
"""Of a JPEG, before its first scan: programs write some ten, and a colour profile fills 255 at most."""
_MOST_JUNK = 1 << 16
"""Bytes of a JPEG, before its first scan, that belong to no segment: Pillow skips them one by one, in Python."""
_READERS = (
    (_JPEG, JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)

# EXIF orientation -> what puts the picture upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION, _SHORT = 0x0112, 3
"""EXIF's tag, and the kind of number that it has."""

# Pillow warns about animation headers of PNGs, and about nothing else in these formats while no EXIF is read
_warnings_lock = threading.Lock()


def _decoded(data: bytes, max_pixels: int, short_side: int | None) -> np.ndarray:
    try:
        data, exif = _without_exif(data) if data.startswith(_JPEG) else (data, b"")
        image = _opened(data)
        if image.tile and image.tile[0][0] == "bmp_rle":  # Pillow reads it in Python, byte by byte
            raise BadPair("image: a run-length BMP")
        width, height = image.size
        if width * height > max_pixels:
            raise BadPair(f"image: {width} x {height} px is more than data.max_pixels = {max_pixels}")
        if min(width, height) < 1:
            raise BadPair(f"image: {width} x {height} px")
        jpeg = image.format == "JPEG"
        if jpeg and data.count(bytes((0xFF, _SCAN))) > _MOST_SCANS and _scans(data) > _MOST_SCANS:
            raise BadPair(f"image: a JPEG of more than {_MOST_SCANS} scans")
        if jpeg and short_side is not None:
            image.draft("RGB", (short_side, short_side))
        pixels = _fast(data, image) if jpeg and image.mode in ("RGB", "L") else None
        if pixels is None:
            image.load()
            rgb = _rgb(image)
            pixels = np.array(rgb if jpeg else rgb.reduce(_scale(min(width, height), short_side)))
        return _upright(pixels, exif or image.info.get("exif"))
    except (BadPair, MemoryError):
        raise
    except Exception as error:  # hostile files make Pillow raise nearly anything
        raise BadPair(f"image: {type(error).__name__}: {str(error)[:200]}") from error


def _opened(data: bytes) -> ImageFile.ImageFile:
    """The file with its header read. The reader is chosen by signature, past Pillow's registry of plugins."""
    for signature, reader in _READERS:
        if data.startswith(signature):
            return reader(io.BytesIO(data))
    raise BadPair("image: not a JPEG, PNG, WebP, GIF or BMP file")


def _scans(data: bytes) -> int:
    """Scans of a JPEG, of one more than are allowed at most: not what looks like one in its segments, or in what phones
    put behind its end."""
    at, scans = 2, 0
    while scans <= _MOST_SCANS and (found := _MARKER.search(data, at)) is not None:
        kind = found.group(1)[0]
        if kind == _END:
            break
        scans += kind == _SCAN
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")  # past the marker's segment
    return scans


def _scale(side: int, short_side: int | None) -> int:
    """By how much a picture of this side is scaled down: as Pillow chooses it for a JPEG."""
    return next((scale for scale in (8, 4, 2) if short_side is not None and side >= scale * short_side), 1)


def _fast(data: bytes, image: Image.Image) -> np.ndarray | None:
    """The picture by simplejpeg, at the scale that `image` is drafted to; None where Pillow has to decide."""
    simplejpeg = _simplejpeg()
    width, height = image.size
    if simplejpeg is None or min(width, height) < 8:  # below 8 px, several scales give one size
        return None
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, strict=True)
    except ValueError:  # a fault, perhaps one that Pillow reads past
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def jpeg_decoder() -> str:
    """What reads JPEGs here, for a person."""
    return "Pillow (extra fast has simplejpeg)" if _simplejpeg() is None else "simplejpeg"


@lru_cache(maxsize=1)
def _simplejpeg() -> Any:
    with contextlib.suppress(ImportError):
        import simplejpeg

        return simplejpeg
    return None


def _without_exif(data: bytes) -> tuple[bytes, bytes]:
    """A JPEG without its EXIF segments, and the first of them: what Pillow makes of them takes time and memory with the
    square of their size. Raises BadPair on more segments, or more bytes between them, than any program writes."""
    pieces: list[bytes] = []
    exif, at, start, junk = b"", 2, 0, 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        junk += (found.start() if found else len(data)) - at
        if junk > _MOST_JUNK:
            raise BadPair(f"image: a JPEG of more than {_MOST_JUNK} bytes that belong to no segment")
        if found is None or found.group(1)[0] in (_SCAN, _END):
            return (b"".join([*pieces, data[start:]]) if pieces else data), exif
        end = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")  # past the marker's segment
        if found.group(1)[0] == _APP1 and data.startswith(_EXIF, found.end() + 2):
            exif = exif or data[found.end() + 2 : end].replace(_EXIF, b"")
            pieces.append(data[start : found.start()])
            after = _MARKER.search(data, end)  # a file may not begin with what stands between two segments
            start = end = after.start() if after else end
        at = end
    raise BadPair(f"image: a JPEG of more than {_MOST_SEGMENTS} segments before its picture")


def _upright(pixels: np.ndarray, exif: Any) -> np.ndarray:
    """exif: the block, bytes; anything else, or one that cannot be read, says nothing about orientation."""
    turn = _orientation(exif) if isinstance(exif, bytes) else None
    return np.array(Image.fromarray(pixels).transpose(_UPRIGHT[turn])) if turn in _UPRIGHT else pixels


def _orientation(exif: bytes) -> int | None:
    """The orientation that a block of EXIF names in its first directory, None without one: one entry of 12 bytes among
    them is looked for, and nothing else is read (TIFF 6.0, section 2)."""
    tiff = exif.removeprefix(_EXIF)
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II*\0") else "big"
    if order == "big" and not tiff.startswith(b"MM\0*"):
        return None
    at = int.from_bytes(tiff[4:8], order)
    end = min(len(tiff), at + 2 + 12 * int.from_bytes(tiff[at : at + 2], order))
    for entry in range(at + 2, end, 12):
        tag, kind = (int.from_bytes(tiff[place : place + 2], order) for place in (entry, entry + 2))
        if tag == _ORIENTATION:
            one = int.from_bytes(tiff[entry + 4 : entry + 8], order) == 1
            return int.from_bytes(tiff[entry + 8 : entry + 10], order) if kind == _SHORT and one else None
    return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        levels = np.clip(np.asarray(image), 0, 65535).astype(np.uint16) >> 8
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def _checked(image: np.ndarray, max_pixels: int) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise BadPair(f"image: array of {image.dtype} {image.shape}, not of uint8 (H, W, 3)")
    if image.shape[0] * image.shape[1] > max_pixels:
        height, width = image.shape[:2]
        raise BadPair(f"image: {width} x {height} px is more than data.max_pixels = {max_pixels}")
    return image


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """No warnings inside. Python's warning filters belong to the whole process, hence the lock."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
