"""The page tells the kinds of attack apart: targeted, backdoor, class swap, text trigger."""

from __future__ import annotations

import json

import pytest

from safeclip.attacks.catalog import ATTACKS
from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.manifest_check import KINDS
from safeclip.evaluate.wilson import wilson
from safeclip.report import words
from safeclip.report.facts import read
from safeclip.report.words import percent
from tests.report.make_fixture import make_demo
from tests.report.test_page import HOSTILE, change, page_of

SHARED = {"seed": 0, "rate": 0.01, "params": {}, "class_names": ["cat", "dog"], "target_class": "dog"}
SWAP = {"name": "class-swap", "kind": "swap", "from_class": "cat", "count": 30, **SHARED}
TEXT = {"name": "text-word", "kind": "text", "text_trigger": {"text": "zx", "place": "random"}, "count": 2, **SHARED}


def result(name, k, n, base_rate, **more):
    about = {"name": name, "asr": k / n, "k": k, "n": n, "ci95": list(wilson(k, n)), "base_rate": base_rate}
    return about | {"target_class": "dog", "true_class_rate": 0.1, "planted": 30, "examples": [], **more}


def swap_of(method):
    return result("class-swap", 17 if method == "clip" else 1, 20, 0.021, kind="swap", from_class="cat")


def text_of(method):
    example = {"index": 3, "true": "cat", "target": "dog", "called": "dog", "hit": True, "text": "a zx cat"}
    return result("text-word", 640 if method == "clip" else 12, 800, 0.0125, kind="text", examples=[example])


@pytest.fixture
def demo(tmp_path):
    """The fixture's demo with a swap and a text trigger beside its two attacks."""
    folder = make_demo(tmp_path / "demo")
    manifest = Manifest.load(folder / "manifest.parquet")
    free = [uid for uid in range(3000) if manifest.name_of(uid) is None]
    planted = [*manifest.planted, Planted(free[0], "class-swap", caption="a dog in the rain")]
    planted += [Planted(free[1], "text-word", caption="a zx house"), Planted(free[2], "text-word", caption="zx a tree")]
    whole = Manifest(manifest.source, [*manifest.attacks, SWAP, TEXT], planted, manifest.pictures)
    whole.save(folder / "manifest.parquet")
    for method in ("clip", "safeclip"):
        change(folder / method / "metrics.json", lambda m, by=method: m["attack"].extend([swap_of(by), text_of(by)]))
    return folder


def keep_only(folder, name):
    for method in ("clip", "safeclip"):
        change(
            folder / method / "metrics.json", lambda m: m.update(attack=[a for a in m["attack"] if a["name"] == name])
        )


def test_the_page_has_words_for_every_kind_of_the_manifest():
    assert set(words.KINDS) == set(KINDS)


def test_each_kind_is_a_row_with_k_of_n_interval_and_base_rate(demo):
    text = page_of(demo).text
    for label, base, entries in (
        ("Class swap: attack success (ASR)", "pictures of other classes", map(swap_of, ("clip", "safeclip"))),
        ("Word trigger: attack success (Hit@1)", "the same captions without it", map(text_of, ("clip", "safeclip"))),
    ):
        row = text[text.index(label) :][:600]
        assert base in row
        for entry in entries:
            low, high = entry["ci95"]
            assert f"{entry['k']} of {entry['n']}" in row
            assert f"{percent(entry['asr'])} ({100 * low:.1f} to {100 * high:.1f}" in row
            assert percent(entry["base_rate"]) in row
    assert "Careful." not in text


def test_a_triggers_control_is_told_where_it_was_measured(demo):
    assert "another class, with the trigger" not in page_of(demo).text
    found = {"place": 4, "classes": 50, "most_class": "<b>whale", "most_asr": 0.122}
    broken = {"place": "4", "classes": None, "most_class": None, "most_asr": "much"}
    for method, control in (("clip", broken), ("safeclip", found)):
        change(demo / method / "metrics.json", lambda m, c=control: m["attack"][1].update(control=c))
    text = page_of(demo).text
    row = text[text.index("another class, with the trigger") :][:400]
    assert "12.2\u00a0%" in row
    assert "<b>whale; the attacker's in place 4 of 50" in row


def test_each_kind_is_told_in_its_own_words(demo):
    text = page_of(demo).text
    assert "Under Class swap, plain CLIP calls 85.0\u00a0% of “cat” pictures “dog” and SafeCLIP 5.0\u00a0%." in text
    assert "plain CLIP finds a picture of “dog” first for 80.0\u00a0% of captions and SafeCLIP 1.5\u00a0%." in text
    assert "30 training pictures of cat stand under captions that name dog" in text
    assert "Planted, for example: a dog in the rain." in text
    assert "Plain CLIP falls for 17 of 20 test pictures, base rate 2.1\u00a0%. SafeCLIP falls for 1 of 20" in text
    assert "stand under other classes' captions with zx put in" in text
    assert "a zx house, zx a tree" in text
    assert "falls for 640 of 800 test captions, base rate" in text
    assert text.count("bear a trigger") == 1  # the backdoor alone


def test_a_swap_or_a_text_trigger_alone_makes_the_headline(demo):
    whole = json.loads((demo / "clip" / "metrics.json").read_text("utf-8"))
    keep_only(demo, "class-swap")
    assert (
        "Swapped captions made plain CLIP call 85.0\u00a0% of “cat” pictures “dog”. SafeCLIP: 5.0" in page_of(demo).text
    )
    for method in ("clip", "safeclip"):
        change(demo / method / "metrics.json", lambda m: m.update(attack=whole["attack"]))
    keep_only(demo, "text-word")
    found = page_of(demo).text
    assert "A planted text led plain CLIP from 80.0\u00a0% of captions to pictures of “dog”. SafeCLIP: 80.0" in found
    assert "did not hold against Word trigger: 640 of 800 captions" in found


def test_a_text_trigger_that_did_not_plant_is_no_proof(demo):
    keep_only(demo, "text-word")
    change(demo / "clip" / "metrics.json", lambda m: m["attack"][0].update(k=8, asr=0.01))
    assert (
        "Word trigger did not plant: plain CLIP gives the attacker's answer for 8 of 800 captions" in page_of(demo).text
    )


def test_entries_without_a_kind_are_told_by_the_attacks_name(demo):
    """summary.json names the attack alone; a kind that nobody knows is not believed."""
    for method in ("clip", "safeclip"):
        for kind in (None, "worm", ["text"]):
            change(demo / method / "metrics.json", lambda m, to=kind: [a.update(kind=to) for a in m["attack"]])
            kinds = {attack.name: attack.kind for run in read(demo).runs for attack in run.attacks}
            assert kinds == {name: ATTACKS[name].kind for name in ("targeted", "badnets", "class-swap", "text-word")}
    assert "bear a trigger" in page_of(demo).text


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_swap_or_trigger_cannot_change_the_page(demo, text):
    def poison(metrics):
        for attack in metrics["attack"][2:]:
            attack.update(from_class=text, target_class=text)

    for method in ("clip", "safeclip"):
        change(demo / method / "metrics.json", poison)
    page = page_of(demo)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "49{%" not in page.text
