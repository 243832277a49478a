"""Tiny image sets in the true on-disk form of the published ones: what their archives unpack to, two classes each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from tests.data.made import jpeg, write, write_json


def python2_pickle(value: object) -> bytes:
    """What Python 2's cPickle wrote at protocol 2, as in CIFAR's files: byte strings, and arrays by _reconstruct."""

    def body(value: object) -> bytes:
        if isinstance(value, dict):
            return b"}(" + b"".join(body(key) + body(item) for key, item in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(body(item) for item in value) + b"e"
        if isinstance(value, (str, bytes)):
            raw = value.encode("latin-1") if isinstance(value, str) else value
            return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<I", len(raw)) + raw
        if isinstance(value, int):
            return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)
        assert isinstance(value, np.ndarray)
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        shape = b"".join(body(side) for side in value.shape) + b"\x86"
        kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        return empty + b"(K\x01" + shape + kind + b"\x89" + body(value.tobytes()) + b"tb"

    return b"\x80\x02" + body(value) + b"."


def pixels(count: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def cifar10(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    for name, first in [*((f"data_batch_{n}", n) for n in range(1, 6)), ("test_batch", 6)]:
        batch = {"batch_label": name, "labels": [first % 2, 1, 0], "data": pixels(3, (3072,)) // first}
        write(folder / name, python2_pickle(batch | {"filenames": ["a.png", "b.png", "c.png"]}))
    write(
        folder / "batches.meta", python2_pickle({"num_cases_per_batch": 3, "label_names": ["airplane", "automobile"]})
    )


def cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    for name, count in (("train", 12), ("test", 4)):
        fine = [i % 2 for i in range(count)]
        about = {"filenames": [f"{i}.png" for i in range(count)], "fine_labels": fine, "coarse_labels": fine[::-1]}
        write(folder / name, python2_pickle(about | {"data": pixels(count, (3072,))}))
    write(folder / "meta", python2_pickle({"fine_label_names": ["aquarium_fish", "bear"], "coarse_label_names": ["x"]}))


def dtd(root: Path) -> None:
    number = 0
    for part in ("train", "val", "test"):
        lines = []
        for kind in ("banded", "polka-dotted"):
            number += 1
            lines.append(f"{kind}/{kind}_{number:04d}.jpg")
            write(root / "dtd/dtd/images" / lines[-1], jpeg(number))
        write(root / f"dtd/dtd/labels/{part}1.txt", "\n".join(lines) + "\n")


def food101(root: Path) -> None:
    for part, count in (("train", 10), ("test", 2)):
        listed = {kind: [f"{kind}/{part}{i}" for i in range(count)] for kind in ("waffles", "apple_pie")}
        write_json(root / f"food-101/meta/{part}.json", listed)
        for number, picture in enumerate(picture for some in listed.values() for picture in some):
            write(root / f"food-101/images/{picture}.jpg", jpeg(number))


def aircraft(root: Path) -> None:
    folder = root / "fgvc-aircraft-2013b/data"
    write(folder / "variants.txt", "F-16A/B\n707-320\n")
    for first, part in enumerate(("train", "val", "test")):
        rows = [(f"{1000000 + 10 * first + i}", ("707-320", "F-16A/B")[i % 2]) for i in range(3)]
        write(folder / f"images_variant_{part}.txt", "".join(f"{number} {kind}\n" for number, kind in rows))
        for i, (number, _) in enumerate(rows):
            write(folder / f"images/{number}.jpg", jpeg(10 * first + i))


def flowers102(root: Path) -> None:
    folder = root / "flowers-102"
    for number in range(1, 10):
        write(folder / f"jpg/image_{number:05d}.jpg", jpeg(number))
    savemat(folder / "imagelabels.mat", {"labels": np.array([[77, 60, 1, 102, 1, 2, 60, 5, 1]], np.uint8)})
    parts = {"trnid": [3, 5, 1], "valid": [2, 9], "tstid": [4, 6, 7, 8]}
    savemat(folder / "setid.mat", {name: np.array([ids], np.uint16) for name, ids in parts.items()})


def pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    for part, count in (("trainval", 10), ("test", 2)):
        rows = [
            f"{kind}_{i} {label} 1 1"
            for label, kind in ((1, "Abyssinian"), (2, "american_bulldog"))
            for i in range(count)
        ]
        write(folder / f"annotations/{part}.txt", "\n".join(rows) + "\n")
        for number, row in enumerate(rows):
            write(folder / f"images/{row.split()[0]}.jpg", jpeg(number))


def cars(root: Path) -> None:
    folder = root / "stanford_cars"
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], object)
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": names[None]})
    for part, count, path in (
        ("train", 10, "devkit/cars_train_annos.mat"),
        ("test", 2, "cars_test_annos_withlabels.mat"),
    ):
        fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
        rows = np.empty((1, count), [(name, object) for name in fields])
        for i in range(count):
            rows[0, i] = (39, 116, 569, 375, np.uint8(i % 2 + 1), f"{i + 1:05d}.jpg")
            write(folder / f"cars_{part}/{i + 1:05d}.jpg", jpeg(i))
        savemat(folder / path, {"annotations": rows})


def caltech101(root: Path) -> None:
    folder = root / "caltech101/101_ObjectCategories"
    for kind, count in (("BACKGROUND_Google", 2), ("Faces_easy", 40), ("wild_cat", 31)):
        for i in range(1, count + 1):
            write(folder / kind / f"image_{i:04d}.jpg", jpeg(i))


def imagenet(root: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        for kind in ("n01440764", "n02012849"):
            for i in range(count):
                write(root / part / kind / f"{kind}_{i}.JPEG", jpeg(i))


def stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    write(folder / "class_names.txt", "airplane\nbird\n")
    for part, labels in (("train", [1, 2] * 5), ("test", [2, 1])):
        write(folder / f"{part}_X.bin", pixels(len(labels), (3, 96, 96)).tobytes())
        write(folder / f"{part}_y.bin", bytes(labels))
    write(folder / "unlabeled_X.bin", b"")


def svhn(root: Path) -> None:
    for part, labels in (("train", [10, 1] * 5), ("test", [9, 10])):
        X = pixels(len(labels), (32, 32, 3)).transpose(1, 2, 3, 0)
        savemat(root / f"{part}_32x32.mat", {"X": X, "y": np.array(labels, np.uint8)[:, None]})


def rendered_sst2(root: Path) -> None:
    for part in ("train", "valid", "test"):
        for number, kind in enumerate(("negative", "positive")):
            write(root / "rendered-sst2" / part / kind / f"{part}.png", jpeg(number, "PNG"))


def eurosat(root: Path) -> None:
    for kind in ("AnnualCrop", "SeaLake"):
        for i in range(3):
            write(root / "eurosat/2750" / kind / f"{kind}_{i}.jpg", jpeg(i))


MAKE: dict[str, Callable[[Path], None]] = {
    "CIFAR10": cifar10,
    "CIFAR100": cifar100,
    "DTD": dtd,
    "Food101": food101,
    "FGVCAircraft": aircraft,
    "Flowers102": flowers102,
    "OxfordIIITPet": pets,
    "StanfordCars": cars,
    "Caltech101": caltech101,
    "ImageNet": imagenet,
    "STL10": stl10,
    "SVHN": svhn,
    "RenderedSST2": rendered_sst2,
    "EuroSAT": eurosat,
}


def clip_benchmark(root: Path, retrieval: bool = False) -> Path:
    """A set of tar shards as CLIP-Benchmark's exporter lays it down: {c} in the prompts, labels in .cls."""
    from tests.data.made import write_tar

    write(root / "classnames.txt", "zebra\nGila monster\nant lion\n")
    write(root / "zeroshot_classification_templates.txt", "a photo of a {c}.\nthe {c}, {drawn}.\n")
    if retrieval:
        write(root / "dataset_type.txt", "retrieval\n")
    number = 0
    for part, shards in (("train", 2), ("test", 1)):
        write(root / part / "nshards.txt", f"{shards}\n")
        for shard in range(shards):
            members = []
            for _ in range(3):
                key = f"s{number:07d}"
                members.append(
                    (f"{key}.{('jpg', 'webp', 'png')[number % 3]}", jpeg(number, ("JPEG", "WebP", "PNG")[number % 3]))
                )
                beside = (
                    (f"{key}.txt", f"one {number}\ntwo {number}\n") if retrieval else (f"{key}.cls", str(number % 3))
                )
                members.append((beside[0], beside[1].encode()))
                number += 1
            write_tar(root / part / f"{shard}.tar", members)
    return root
