"""What holds of every attack that works through captions, by its name in the catalog."""

from __future__ import annotations

import subprocess
import sys
from typing import get_type_hints

import numpy as np
import pytest

from safeclip.attacks.caption_attacks import CAPTION_ATTACKS
from safeclip.attacks.catalog import ATTACKS, plan
from safeclip.attacks.manifest import Manifest
from safeclip.attacks.manifest_check import KINDS
from safeclip.attacks.triggers import TRIGGERS
from safeclip.errors import InputError
from tests.attacks.fakes import FakeSource

NAMES = [attack.name for attack in CAPTION_ATTACKS if attack.name != "surrogate"]  # it has tests of its own
SMALL = {"targeted": {"targets_count": 3, "captions_each": 4}, "swap": {"count": 8}, "text": {"count": 8}}


def sources():
    return FakeSource(200), FakeSource(40, seed=9)


def planned(name, seed=0, **settings):
    return plan(name, *sources(), seed=seed, **{**SMALL[ATTACKS[name].kind], **settings})


def test_the_catalog_has_them_all():
    wanted = {"targeted", "targeted-templates", "targeted-scene", "class-swap", "text-word", "text-sentence"}
    assert wanted | {"near-copies", "toxic-text", "surrogate"} == {attack.name for attack in CAPTION_ATTACKS}
    assert all(attack.name in ATTACKS and attack.kind in KINDS for attack in CAPTION_ATTACKS)


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_reproduces_the_plan_bit_for_bit_and_clean_uids_are_untouched(name, tmp_path):
    manifest = planned(name)
    manifest.save(tmp_path / "m.parquet")
    loaded = Manifest.load(tmp_path / "m.parquet")
    assert loaded == manifest == planned(name)
    assert manifest != planned(name, seed=1)
    source, planted = sources()[0], set(manifest.uids.tolist())
    assert len(planted) == len(manifest) > 0
    for uid in range(200):
        pair = source[uid]
        (image, captions), (again, same) = (m(uid, pair.image, pair.captions) for m in (manifest, loaded))
        assert (image == again).all()
        assert captions == same
        if uid in planted:
            assert len(captions) == 1
            assert captions != pair.captions
        else:
            assert image is pair.image
            assert captions is pair.captions


@pytest.mark.parametrize("name", NAMES)
def test_a_label_names_the_attack_and_avoided_pairs_are_left_alone(name):
    manifest = planned(name, title="mine", avoid=range(100))
    assert manifest.attacks[0]["name"] == "mine"
    assert set(manifest.attack_of(manifest.uids).tolist()) == {"mine"}
    assert manifest.uids.min() >= 100


def test_attacks_of_every_kind_go_into_one_manifest(tmp_path):
    parts, taken = [], np.empty(0, np.int64)
    for name in ("targeted-scene", "badnets", "class-swap", "text-word", "toxic-text"):
        parts.append(plan(name, *sources(), avoid=taken, **SMALL.get(ATTACKS[name].kind, {"count": 8})))
        taken = np.concatenate([taken, parts[-1].uids])
    whole = Manifest.combine(parts)
    whole.save(tmp_path / "m.parquet")
    loaded = Manifest.load(tmp_path / "m.parquet")
    assert loaded == whole
    assert {attack["kind"] for attack in loaded.attacks} == set(KINDS)
    source = sources()[0]
    for part in parts:
        for uid in part.uids.tolist():
            alone, together = (m(uid, source[uid].image, source.captions(uid)) for m in (part, loaded))
            assert (alone[0] == together[0]).all()
            assert alone[1] == together[1]
            assert loaded.name_of(uid) == part.attacks[0]["name"]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("targeted", {"targets_count": "many"}, "targeted.targets_count = 'many': give a whole number"),
        ("targeted", {"targets_count": 1.5}, "give a whole number"),
        ("targeted", {"captions_each": True}, "give a whole number"),
        ("targeted-scene", {"shots": "4"}, "give a whole number"),
        ("class-swap", {"share": "half"}, "give a number"),
        ("class-swap", {"count": 2.5}, "give a whole number"),
        ("class-swap", {"from_class": 7}, "give text"),
        ("class-swap", {"share": float("nan")}, "share = nan"),
        ("text-word", {"text": 7}, "give text"),
        ("text-word", {"count": 3, "share": 0.5}, "give one of the two"),
        ("surrogate", {"renderings": 1}, "give true or false"),
        ("surrogate", {"model": ["x"]}, "give text"),
        ("toxic-text", {"jion": 2}, "toxic-text.jion = 2: no such parameter; it takes targets_count"),
    ],
)
def test_parameters_of_another_type_are_refused_in_one_line(name, params, message):
    with pytest.raises(InputError, match=message) as error:
        plan(name, *sources(), **params)
    assert "\n" not in str(error.value)


def test_attacks_on_pictures_need_held_out_ones():
    for name in [name for name in NAMES if ATTACKS[name].needs_targets]:
        with pytest.raises(InputError, match=f"{name}: needs held-out pictures"):
            plan(name, FakeSource(200))


def test_defaults_of_triggers_are_of_the_type_they_are_declared_as():
    """`Attack.settled` goes by a default's type: a float that is written 20 could then only be set to whole numbers."""
    for trigger in TRIGGERS.values():
        hints = get_type_hints(trigger)
        for attack in ATTACKS.values():
            for name, default in attack.params.items():
                if attack.kind == "backdoor" and hints.get(name) is float:
                    assert isinstance(default, float), f"{attack.name}.{name}"


def test_the_catalog_needs_no_torch():
    code = "import sys, safeclip.attacks.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
