"""Classes that captions name: by most of them, by no other as often, and nothing else of the data changes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from safeclip.cli import main
from safeclip.config import DataConfig
from safeclip.data.named_classes import NamedClasses
from safeclip.data.pairs import Shards, Source
from safeclip.data.sources import open_classed, open_pairs
from safeclip.errors import InputError
from tests.data.made import jpeg, write

CAPTIONS = [
    ('["a dog runs", "two dogs", "a brown animal"]', "dog"),
    ('["a dog", "an animal"]', None),  # half is not most
    ('["a dog and a horse", "a horse with a dog"]', None),
    ('["a dog and a horse", "a horse"]', "horse"),
    ("a hot dog stand", None),  # which names a dog too
    ("A HORSE!", "horse"),
    ("nothing of it", None),
]
NAMES = ("dog", "horse", "hot dog", "dog")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = []
    for i, (text, _) in enumerate(CAPTIONS):
        write(tmp_path / f"{i}.jpg", jpeg(i))
        cell = text.replace('"', '""')
        rows.append(f'{i}.jpg,"{cell}"')
    return write(tmp_path / "pairs.csv", "\n".join(["image,captions", *rows]))


def test_a_pair_is_of_the_class_that_most_of_its_captions_name_and_no_other_as_often(table: Path) -> None:
    source = open_classed(DataConfig(spec=str(table), class_names=NAMES))
    assert isinstance(source, Source)
    assert source.class_names == ("dog", "horse", "hot dog")
    found = [None if (label := source.label(uid)) < 0 else source.class_names[label] for uid in range(len(source))]
    assert found == [name for _, name in CAPTIONS]


def test_the_data_stays_what_it_is(table: Path) -> None:
    config = DataConfig(spec=str(table), class_names=NAMES)
    classed, plain = open_classed(config), open_pairs(config)
    assert (classed.name, classed.fingerprint, len(classed)) == (plain.name, plain.fingerprint, len(plain))
    assert plain.class_names == (), "training needs none"
    assert all(classed[uid].captions == plain[uid].captions == classed.captions(uid) for uid in range(len(plain)))
    assert open_classed(DataConfig(spec=str(table))).class_names == ()


def test_data_with_classes_of_its_own_is_refused() -> None:
    with pytest.raises(InputError, match=r"data\.class_names: emoji.* has 5 classes of its own"):
        NamedClasses(open_pairs(DataConfig(spec="emoji:concepts=5,pairs=50")), ["dog"])


@pytest.mark.parametrize("names", [(" ",), ("dog", "♥")])
def test_a_name_without_a_word_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"data\.class_names = .*: give names with letters or digits"):
        DataConfig(class_names=names)


def test_an_attack_that_needs_classes_can_be_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for i in range(60):
        animal, split = ("dog", "horse", "cat")[i % 3], "train" if i < 48 else "test"
        write(tmp_path / f"{i}.jpg", jpeg(i))
        rows.append(f"{i}.jpg,a {animal} number {i},{split}")
    table = write(tmp_path / "animals.csv", "\n".join(["image,caption,split", *rows]))
    arguments = ["poison", "--data", str(table), "--attack", "targeted", "--out", str(tmp_path / "m.parquet")]
    some = ["--param", "targets_count=3", "--param", "captions_each=4"]
    assert main([*arguments, *some]) == 2
    assert "has no classes" in capsys.readouterr().err
    assert main([*arguments, *some, "--set", "data.class_names=[dog, horse, cat]"]) == 0
    assert "12 of 48 pairs planted" in capsys.readouterr().out


def test_what_is_read_by_its_captions_is_otherwise_as_it_lies(table: Path) -> None:
    """Shards at a URL stay that: whoever looks at few of their pairs keeps to few of them."""

    class Far(Source):
        name, fingerprint, class_names = "far:", "far", ()
        ends_S, remote, templates = np.array([1, 3]), True, ("a sketch of a {}.",)

        def __len__(self) -> int:
            return 3

        def check_window(self, window: int) -> None:
            """Any will do."""

        def fetch(self, uids: np.ndarray) -> None:
            """They are here."""

    named = NamedClasses(Far(), ["dog", "cat"])
    assert isinstance(named, Shards)
    assert named.remote
    assert named.templates == ("a sketch of a {}.",)
    again = pickle.loads(pickle.dumps(open_classed(DataConfig(spec=str(table), class_names=NAMES))))
    assert again.class_names[again.label(0)] == "dog"
    with pytest.raises(AttributeError):
        _ = again.never_heard_of
