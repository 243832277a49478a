"""Copies share a group, re-encoded or not; distinct pictures, flat ones among them, do not."""

from __future__ import annotations

import io
import itertools
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from safeclip.signals.copies import _joined, copy_groups, occurrences, perceptual_hashes

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def picture(seed: int, side: int = 48) -> np.ndarray:
    """A few coloured shapes on a gradient: as little detail as an icon has."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, side)
    ground = np.einsum("ij,c->ijc", np.add.outer(ramp * rng.random(), ramp * rng.random()) / 2, rng.uniform(60, 255, 3))
    drawing = Image.fromarray(ground.astype(np.uint8))
    draw = ImageDraw.Draw(drawing)
    for _ in range(rng.integers(3, 7)):
        corner, size = rng.integers(0, side * 3 // 4, 2), rng.integers(side // 6, side // 2, 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape([*corner.tolist(), *(corner + size).tolist()], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return np.asarray(drawing)


def jpeg(image: np.ndarray, quality: int, scale: float = 1.0) -> np.ndarray:
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    file = io.BytesIO()
    Image.fromarray(image).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def literal_hash(image: np.ndarray) -> int:
    """The formula in loops: average to 32 x 32 grey, DCT-II, signs of the 64 lowest frequencies after the mean."""
    height, width, _ = image.shape
    grey = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    fine = np.kron(grey, np.ones((32, 32))).reshape(32, height, 32, width).mean(axis=(1, 3))
    cells = sorted(itertools.product(range(11), repeat=2), key=lambda c: (c[0] + c[1], max(c), c))[1:65]
    bits, x = 0, np.arange(32) + 0.5
    for u, v in cells:
        wave = np.outer(np.cos(np.pi * u * x / 32), np.cos(np.pi * v * x / 32))
        bits = bits << 1 | int((fine * wave).sum() > 0)
    return bits


def distance(a: int, b: int) -> int:
    return bin(a ^ b).count("1")


@pytest.mark.parametrize("shape", [(32, 32), (48, 40), (20, 33), (100, 64)])
def test_hash_equals_the_literal_one(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    ours = int.from_bytes(int(perceptual_hashes([image])[0]).to_bytes(8, "little"), "big")
    assert distance(ours, literal_hash(image)) == 0


def test_hashes_do_not_depend_on_the_batch() -> None:
    images = [picture(i, side) for i, side in enumerate((32, 48, 64, 32))]
    assert perceptual_hashes(images).tolist() == [int(perceptual_hashes([image])[0]) for image in images]
    assert perceptual_hashes([]).shape == (0,)


def test_copies_of_a_picture_fall_into_its_group_however_they_were_saved() -> None:
    images = [picture(i) for i in range(150)]
    target = images[17]
    copies = [
        target.copy(),
        jpeg(target, 95),
        jpeg(target, 85),
        jpeg(target, 70),
        jpeg(target, 70, 2),
        jpeg(target, 85, 0.75),
    ]
    groups = copy_groups(perceptual_hashes(images + copies))
    assert set(groups[150:]) == {groups[17]}
    assert (groups[:150] == groups[17]).sum() == 1


def test_distinct_pictures_stay_apart() -> None:
    groups = copy_groups(perceptual_hashes([picture(i) for i in range(1500)]))
    assert (occurrences(groups) > 2).sum() == 0
    assert (occurrences(groups) > 1).mean() < 0.01


def test_one_drawing_at_other_places_and_sizes_is_no_copy() -> None:
    drawing = Image.fromarray(picture(3, 64))
    placed = []
    for side, (left, top) in itertools.product((24, 32, 40), ((0, 0), (8, 16), (20, 4))):
        ground = Image.new("RGB", (64, 64), (200, 190, 60))
        ground.paste(drawing.resize((side, side)), (left, top))
        placed.append(np.asarray(ground))
    assert occurrences(copy_groups(perceptual_hashes(placed))).max() == 1


def test_pictures_without_detail_do_not_fall_into_one_group() -> None:
    flat = [np.full((32, 32, 3), value, np.uint8) for value in range(0, 250, 10)]
    ramps = [np.tile(np.linspace(0, top, 32).astype(np.uint8)[:, None, None], (1, 32, 3)) for top in range(60, 250, 10)]
    noise = [(128 + np.random.default_rng(i).integers(0, 2, (32, 32, 3))).astype(np.uint8) for i in range(25)]
    images = flat + ramps + noise
    assert occurrences(copy_groups(perceptual_hashes(images))).max() == 1
    twice = occurrences(copy_groups(perceptual_hashes(images + [image.copy() for image in images])))
    assert (twice == 2).all(), "identical ones are still copies"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), count=st.integers(0, 60), most=st.integers(0, 12), many=st.booleans())
def test_groups_equal_the_components_found_by_comparing_all(seed: int, count: int, most: int, many: bool) -> None:
    rng = np.random.default_rng(seed)
    seeds = rng.integers(1, 2**63, 8, dtype=np.uint64)
    hashes = seeds[rng.integers(0, 8, count)]
    for _ in range(6):
        flip = rng.random(count) < 0.4
        hashes[flip] ^= np.uint64(1) << rng.integers(0, 64, flip.sum()).astype(np.uint64)
    expected: list[int] = []
    for i in range(count):
        near = {expected[j] for j in range(i) if distance(int(hashes[i]), int(hashes[j])) <= most}
        label = min(near, default=i)
        expected = [label if other in near else other for other in expected] + [label]
    names = {label: number for number, label in enumerate(dict.fromkeys(expected))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safeclip.signals.copies._MANY", 0 if many else 2**24)
        assert copy_groups(hashes, max_distance=most).tolist() == [names[label] for label in expected]


@pytest.mark.parametrize("most", [61, 62])
def test_of_far_more_bits_than_are_left_to_agree_all_are_compared(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeclip.signals.copies._MANY", 0)
    hashes = np.array([1, 2**62 - 1, 2**63 + 2**62], np.uint64)
    assert copy_groups(hashes, max_distance=most).tolist() == [0, 0, 0], "61 bits apart, and 3"


def test_no_picture_is_a_copy_of_nothing() -> None:
    groups = copy_groups(np.array([0, 5, 0, 5, 1], np.uint64), max_distance=2)
    assert groups.tolist() == [0, 1, 2, 1, 1]


def test_nothing_joins_two_pictures_that_are_each_near_to_it() -> None:
    assert copy_groups(np.array([0, 0b1111, 0b11110000], np.uint64)).tolist() == [0, 1, 2], "8 bits apart"


def test_a_picture_of_one_pixel_by_a_million_takes_no_more_than_another() -> None:
    long = np.random.default_rng(0).integers(0, 256, (1, 1_000_000, 3), np.uint8)
    tracemalloc.start()
    found = [perceptual_hashes([picture])[0] for picture in (long, long[:, ::-1], long.transpose(1, 0, 2))]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len({*map(int, found)}) == 3
    assert most < 40e6, "not a matrix as wide as the picture"


def test_a_million_hashes_take_seconds() -> None:
    hashes = np.random.default_rng(0).integers(1, 2**63, 1_000_000, dtype=np.uint64)
    hashes[-12:] = hashes[0] ^ (np.uint64(1) << np.arange(12, dtype=np.uint64))
    start = time.process_time()
    groups = copy_groups(hashes)
    assert time.process_time() - start < 20.0, "about 2 s on the machine this was written on"
    assert occurrences(groups)[0] == 13


def test_hashes_that_all_share_their_blocks_do_not_stall() -> None:
    """Of the 6 blocks two are equal in all of them: comparing each with each would be 1.8 billion comparisons."""
    four_blocks = np.uint64(sum(1 << bit for bit in range(64) if bit % 6 < 4))
    crowd = np.random.default_rng(0).integers(1, 2**63, 60_000, dtype=np.uint64) & four_blocks
    start = time.process_time()
    copy_groups(crowd)
    assert time.process_time() - start < 12.0, "about 1 s on the machine this was written on"


def test_a_chain_of_near_hashes_takes_as_long_as_its_links() -> None:
    count = 50_000
    link = np.arange(count - 1)
    of_roots = [(link, link + 1)]
    of_leaves = [(link, link + count), (link + count, link + 1 + count)]
    for edges in (of_roots, of_leaves):
        start = time.process_time()
        assert (_joined(2 * count, iter(edges))[: count - 1] == 0).all()
        assert time.process_time() - start < 2.0, "about 0.1 s on the machine this was written on"


def test_hashing_is_fast() -> None:
    images = [picture(0, 64)] * 500
    start = time.process_time()
    perceptual_hashes(images)
    assert (time.process_time() - start) / 500 < 3e-4, "about 15 us on the machine this was written on"


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="picture 1 is float64"):
        perceptual_hashes([picture(0), np.zeros((4, 4, 3))])
    with pytest.raises(ValueError, match="max_distance = 63"):
        copy_groups(np.zeros(2, np.uint64), max_distance=63)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there: no real photographs to compare")
def test_planted_photographs_are_found_and_the_others_left_alone() -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    column = pq.read_table(SHARED / "flickr8k-64px.parquet", columns=["image"])["image"][:1500].to_pylist()
    images = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in column]
    planted = [jpeg(images[i], 70) for i in range(20) for _ in range(2)]
    groups = copy_groups(perceptual_hashes(images + planted))
    found = sum(groups[1500 + i] == groups[i // 2] for i in range(40))
    assert found >= 38
    assert (occurrences(groups[:1500]) > 1).sum() <= 6
