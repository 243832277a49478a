"""The built-in data: what is held out stays out, pairs depend on their uid alone, and everything may be shipped."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest

from safeclip.data.pairs import Source
from safeclip.data.sources.emoji import EMOJI_FILE, FAMILIES, SPLITS, EmojiMakeup, EmojiSource
from safeclip.data.sources.emoji_grounds import COLOURS, KINDS, paint
from safeclip.errors import InputError

SMALL = EmojiMakeup(concepts=40, pairs=400, eval_pairs=120, size=32)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return pq.read_table(EMOJI_FILE).to_pylist()


@pytest.fixture(scope="module")
def sources() -> dict[str, EmojiSource]:
    return {split: EmojiSource(split) for split in SPLITS}


# ---------------------------------------------------------------------------------------------- the file


def test_the_file_is_small_enough_to_ship():
    assert EMOJI_FILE.stat().st_size < 15_000_000


def test_every_picture_has_a_family_and_a_licence_that_is_not_share_alike(rows):
    assert {row["licence"] for row in rows} == {"Apache-2.0", "CC-BY-4.0", "MIT"}
    assert {row["family"] for row in rows} == set(FAMILIES)
    licences = {(row["family"], row["licence"]) for row in rows}
    assert len(licences) == len(FAMILIES)  # one licence a family
    notice = (EMOJI_FILE.parent / "EMOJI-NOTICE.md").read_text()
    for family, licence in licences:
        assert re.search(rf"^\| `{family}` \|.*\| {licence} \|", notice, re.MULTILINE), f"no notice of {family}"


def test_every_concept_is_drawn_by_at_least_five_families_and_by_each_once(rows):
    families = defaultdict(list)
    for row in rows:
        families[row["rank"], row["hexcode"], row["concept"]].append(row["family"])
    assert all(len(found) == len(set(found)) >= 5 for found in families.values())
    ranks = [rank for rank, _, _ in families]
    assert sorted(ranks) == list(range(len(families)))  # one concept a rank
    assert len({name for _, _, name in families}) == len(families)


def test_no_two_concepts_of_a_family_are_the_same_picture(rows):
    seen = Counter((row["family"], row["image"]) for row in rows)
    copies = [key for key, count in seen.items() if count > 1]
    assert len(copies) <= 0.002 * len(rows), [family for family, _ in copies]


def test_the_file_says_where_it_comes_from():
    metadata = pq.read_schema(EMOJI_FILE).metadata
    assert b"@iconify-json/twemoji" in metadata[b"packages"]
    assert metadata[b"script"] == b"tools/build_emoji.py"
    assert metadata[b"side_px"] == b"64"


# ---------------------------------------------------------------------------------------------- the pairs


def test_it_is_a_source_of_the_promised_lengths(sources):
    assert all(isinstance(source, Source) for source in sources.values())
    assert [len(source) for source in sources.values()] == [8_000, 2_000, 2_000]
    names = sources["train"].class_names
    assert len(names) == 100
    assert list(names) == sorted(set(names))
    assert all(source.class_names == names for source in sources.values())


def test_held_out_families_never_occur_in_training(sources):
    seen = {split: Counter(map(source.family, range(len(source)))) for split, source in sources.items()}
    assert set(seen["val"]) == {"emojione"}
    assert set(seen["test"]) == {"twemoji"}
    assert set(seen["train"]) == set(FAMILIES) - {"emojione", "twemoji"}
    assert min(seen["train"].values()) > 0.15 * 8_000


def test_held_out_pictures_never_occur_in_training_even_by_row(sources):
    used = {
        split: {row for per_class in source._rows for row in per_class.values()} for split, source in sources.items()
    }
    assert not used["train"] & used["val"]
    assert not used["train"] & used["test"]
    assert not used["val"] & used["test"]


def test_classes_are_balanced(sources):
    for source in sources.values():
        counts = Counter(source.label(uid) for uid in range(len(source)))
        assert set(counts.values()) == {len(source) // 100}


def test_a_pair_depends_on_seed_split_and_uid_alone():
    forwards, backwards = EmojiSource("train", SMALL), EmojiSource("train", SMALL)
    later = {uid: backwards[uid] for uid in reversed(range(60))}
    for uid in range(60):
        pair = forwards[uid]
        np.testing.assert_array_equal(pair.image, later[uid].image)
        assert pair.captions == later[uid].captions == forwards.captions(uid)
    other_seed = EmojiSource("train", EmojiMakeup(concepts=40, pairs=400, size=32, seed=1))
    assert not any(np.array_equal(forwards[uid].image, other_seed[uid].image) for uid in range(20))
    assert not any(np.array_equal(forwards[uid].image, forwards[uid + 40].image) for uid in range(20))


def test_a_longer_set_begins_with_the_shorter_one():
    short, long = EmojiSource("train", SMALL), EmojiSource("train", EmojiMakeup(concepts=40, pairs=800, size=32))
    for uid in (0, 7, 399):
        np.testing.assert_array_equal(short[uid].image, long[uid].image)


@pytest.mark.parametrize("size", [32, 40, 64, 96])
def test_pictures_are_uint8_rgb_of_the_asked_size(size):
    source = EmojiSource("val", EmojiMakeup(concepts=10, eval_pairs=10, size=size))
    for uid in range(10):
        image = source[uid].image
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert image.std() > 5  # something is drawn


def test_a_drawing_is_as_large_as_its_scale_says():
    """One uid at two scales has one ground, and the small drawing lies within the bounds of the large one."""
    small, large = (
        EmojiSource("test", EmojiMakeup(concepts=30, eval_pairs=30, size=64, scale_min=scale, scale_max=scale, turn=0))
        for scale in (0.1, 0.5)
    )
    for uid in range(30):
        differs = (abs(small[uid].image.astype(int) - large[uid].image) > 3).any(axis=2)
        sides = [np.ptp(np.flatnonzero(differs.any(axis=axis))) + 1 for axis in (0, 1)]
        assert 26 <= max(sides) <= 34


def test_captions_are_never_empty_and_mostly_say_the_name(sources):
    source = sources["train"]
    total = named = doubles = 0
    for uid in range(0, 8_000, 5):
        captions = source.captions(uid)
        assert 1 <= len(captions) == len(set(captions)) <= 2
        assert all(caption.strip() and "{" not in caption for caption in captions)
        total += len(captions)
        doubles += len(captions) == 2
        named += sum(says(caption, source.class_names[source.label(uid)]) for caption in captions)
    assert 0.8 < named / total < 0.95
    assert 0.45 < doubles / 1_600 < 0.55


def test_captions_hardly_ever_say_the_name_of_another_class(sources):
    """An attack finds captions of a class by its name, so a name must mean its class."""
    source = sources["train"]
    captions = [(source.label(uid), source.captions(uid)) for uid in range(0, 8_000, 7)]
    wrong = sum(
        says(caption, name)
        for label, texts in captions
        for caption in texts
        for other, name in enumerate(source.class_names)
        if other != label
    )
    assert wrong <= 0.03 * len(captions)


def test_ground_colours_in_captions_are_true(sources):
    source = sources["train"]
    told = 0
    for uid in range(2_000):
        colour = COLOURS[source._scene(uid).colours[0]].name
        for caption in source.captions(uid):
            if match := re.search(r" on an? ([a-z ]+) ground$|, ([a-z ]+) background$", caption):
                assert (match[1] or match[2]) == colour
                told += 1
    assert told > 100


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_ground_is_nearest_to_the_colour_it_is_called(kind):
    middle = np.array([colour.rgb for colour in COLOURS], float)
    for first in range(len(COLOURS)):
        ground = paint(kind, (first, (first + 3) % len(COLOURS)), 32, np.random.default_rng(first))
        assert ground.shape == (32, 32, 3)
        assert 0 <= ground.min() <= ground.max() <= 255
        if KINDS[kind] == "flat":
            assert np.argmin(np.linalg.norm(middle - ground[0, 0], axis=1)) == first


def test_it_survives_pickling_without_its_pictures():
    source = EmojiSource("val", SMALL)
    image = source[3].image
    pickled = pickle.dumps(source)
    assert len(pickled) < 200_000
    np.testing.assert_array_equal(pickle.loads(pickled)[3].image, image)


def test_uids_beyond_the_end_raise_index_error():
    source = EmojiSource("val", SMALL)
    for uid in (-1, 120):
        for read in (source.__getitem__, source.captions, source.label, source.family):
            with pytest.raises(IndexError):
                read(uid)


def test_the_fingerprint_tells_splits_and_makeups_apart():
    made = [
        EmojiSource("train", SMALL),
        EmojiSource("val", SMALL),
        EmojiSource("train", EmojiMakeup(concepts=40, seed=1)),
    ]
    assert len({source.fingerprint for source in made}) == 3
    assert EmojiSource("train", SMALL).fingerprint == made[0].fingerprint


def test_the_name_opens_it_again():
    source = EmojiSource("train", SMALL)
    assert source.name == "emoji:concepts=40,pairs=400,eval_pairs=120,size=32"
    assert EmojiSource.from_spec(source.name).makeup == SMALL
    assert EmojiSource().name == "emoji:"


# ---------------------------------------------------------------------------------------------- bad make-up


@pytest.mark.parametrize(
    ("field", "value", "mend"),
    [
        ("concepts", 1, "2 or more"),
        ("pairs", 0, "1 or more"),
        ("size", 4, "8 or more"),
        ("size", 4096, "at most 512"),
        ("size", 40.5, "whole number"),
        ("seed", -1, "0 or more"),
        ("seed", 2**64, "below 2"),
        ("test_family", "emojione-v1", "twemoji"),
        ("val_family", "twemoji", "another than test_family"),
        ("scale_min", 0.0, "between 0.1 and 1"),
        ("scale_max", 0.3, "from scale_min to 1"),
        ("scale_max", float("nan"), "from scale_min to 1"),
        ("turn", 200, "degrees"),
        ("plain_caption_share", 1.5, "between 0 and 1"),
    ],
)
def test_a_bad_makeup_names_field_value_and_mend(field, value, mend):
    with pytest.raises(InputError) as error:
        EmojiMakeup(**{field: value})
    message = str(error.value)
    assert message.startswith(f"emoji.{field} = {value!r}: ")
    assert mend in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("emoji:colours=3", ["emoji.colours", "concepts"]),
        ("emoji:size=big", ["emoji.size", "'big'", "40"]),
        ("emoji:concepts=100000", ["emoji.concepts", "at most"]),
    ],
)
def test_a_bad_spec_names_what_is_wrong(spec, words):
    with pytest.raises(InputError) as error:
        EmojiSource.from_spec(spec)
    assert all(word in str(error.value) for word in words)


def test_an_unknown_split_names_the_known_ones():
    with pytest.raises(InputError, match=r"emoji.split = 'dev': give one of train, val, test"):
        EmojiSource("dev")


def test_importing_it_does_not_import_torch():
    code = "import safeclip.data.sources.emoji, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def says(caption: str, name: str) -> bool:
    """Whether the name occurs in the caption as a sequence of words."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", caption, re.IGNORECASE) is not None
