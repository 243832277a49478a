"""Swaps and text triggers in a manifest that anyone may have written, and manifests from before there were any."""

from __future__ import annotations

import json

import pytest

from safeclip.attacks import Manifest, plan
from tests.attacks.fakes import FakeSource
from tests.attacks.test_manifest import KEY, assert_refused, rewrite, set_about

SWAP, TEXT = 0, 1


@pytest.fixture(scope="module")
def both():
    source = FakeSource(200)
    swap = plan("class-swap", source, count=9, from_class="cat", target_class="dog")
    text = plan("text-word", source, count=9, target_class="bird", avoid=swap.uids)
    return Manifest.combine([swap, text])


@pytest.fixture
def saved(both, tmp_path):
    both.save(tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


ABOUT = {
    "no such class": (set_about("attacks", SWAP, "from_class", value="zebra"), "from_class = 'zebra'"),
    "class is a list": (set_about("attacks", SWAP, "from_class", value=["cat"]), "from_class ="),
    "no from_class": (lambda about: (about["attacks"][SWAP].pop("from_class"), about)[1], "from_class = None"),
    "swap into itself": (set_about("attacks", SWAP, "from_class", value="dog"), "from_class is target_class"),
    "swap's target": (set_about("attacks", SWAP, "target_class", value=7), "target_class = 7"),
    "text's target": (set_about("attacks", TEXT, "target_class", value=None), "target_class = None"),
    "no trigger": (set_about("attacks", TEXT, "text_trigger", value=None), "text_trigger = None"),
    "trigger is text": (set_about("attacks", TEXT, "text_trigger", value="zx"), "text_trigger = 'zx'"),
    "trigger of two lines": (
        set_about("attacks", TEXT, "text_trigger", value={"text": "z\nx", "place": "end"}),
        "text_trigger.text",
    ),
    "trigger of 10 MB": (
        set_about("attacks", TEXT, "text_trigger", value={"text": "z" * 10_000_000, "place": "end"}),
        "text_trigger.text",
    ),
    "unheard-of place": (
        set_about("attacks", TEXT, "text_trigger", value={"text": "zx", "place": "/etc"}),
        "text_trigger.place",
    ),
    "another trigger than planted": (
        set_about("attacks", TEXT, "text_trigger", value={"text": "qq", "place": "end"}),
        "no caption has its trigger",
    ),
    "backdoor without a trigger": (set_about("attacks", SWAP, "kind", value="backdoor"), "one and the same trigger"),
    "swap that has no classes": (set_about("attacks", TEXT, "kind", value="swap"), "from_class = None"),
}


@pytest.mark.parametrize("case", ABOUT)
def test_hostile_metadata_is_refused_in_one_line(saved, case):
    edit, message = ABOUT[case]
    rewrite(saved, edit_about=edit)
    assert_refused(saved, message)


def test_rows_without_what_their_kind_plants_are_refused(saved, both):
    rewrite(
        saved, edit_rows=lambda rows: [{**r, "caption": None if "swap" in r["attack"] else r["caption"]} for r in rows]
    )
    assert_refused(saved, "no row has a new caption")
    both.save(saved)
    rewrite(
        saved, edit_rows=lambda rows: [{**r, "caption": "a cat" if "text" in r["attack"] else "a dog"} for r in rows]
    )
    assert_refused(saved, "no caption has its trigger")


def test_manifests_of_targeted_attacks_and_backdoors_are_written_as_before(tmp_path):
    """An older version reads them: the format's number and every key are those of before."""
    import pyarrow.parquet as pq

    source = FakeSource(200)
    targeted = plan("targeted", source, FakeSource(40, seed=9), targets_count=2, captions_each=3)
    both = Manifest.combine([targeted, plan("badnets", source, count=5, avoid=targeted.uids)])
    both.save(tmp_path / "m.parquet")
    about = json.loads(pq.read_schema(tmp_path / "m.parquet").metadata[KEY])
    assert about["format"] == 1
    shared = {"name", "kind", "target_class", "class_names", "seed", "count", "rate", "params"}
    assert [set(attack) for attack in about["attacks"]] == [shared | {"targets"}, shared]
