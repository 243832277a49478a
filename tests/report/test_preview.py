"""The page of planted pairs: escaped, self-contained, and to the bit what training reads."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from safeclip.attacks.catalog import ATTACKS, plan
from safeclip.attacks.manifest import Manifest
from safeclip.errors import InputError
from safeclip.report.preview import SHOWN, catalog, difference, preview, write_preview
from tests.attacks.fakes import CLASSES, FakeSource
from tests.report.test_page import HOSTILE, Page

SOURCE, HELD_OUT = FakeSource(200), FakeSource(40, seed=1)


class Hostile(FakeSource):
    """Captions that try to leave the page's text."""

    def captions(self, uid):
        return (f"{CLASSES[uid % 4]} {HOSTILE[uid % len(HOSTILE)]}", "x" * 100_000)


def pictures(page: Page, alt: str) -> list[np.ndarray]:
    found = [image["src"] for image in page.images if image["alt"].startswith(alt)]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))) for uri in found]


def page_of(name: str, source: FakeSource = SOURCE, **params) -> tuple[Manifest, Page]:
    manifest = plan(name, source, HELD_OUT, **params)
    return manifest, Page(preview(manifest, source))


def test_the_page_needs_nothing_but_itself():
    text = preview(plan("badnets", SOURCE, count=5), SOURCE)
    page = Page(text)
    assert not {"script", "link"} & set(page.tags)
    assert all(k == "src" and v.startswith("data:image/png;base64,") for _, k, v in page.links)
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text


def test_planted_pictures_are_shown_as_training_reads_them_with_their_captions():
    manifest, page = page_of("badnets", count=7, target_class="dog")
    before, after = pictures(page, "before"), pictures(page, "after")
    assert len(before) == len(after) == len(pictures(page, "difference")) == 7
    for row, old, new in zip(manifest.planted, before, after, strict=True):
        assert (old == SOURCE[row.uid].image).all()
        assert (new == manifest(row.uid, SOURCE[row.uid].image, SOURCE.captions(row.uid))[0]).all()
        assert row.caption in page.text
        assert row.caption_before[0] in page.text
    for said in ("BadNets patch", "7 of 200 pairs", "3.5", "dog", "checker", "pattern"):
        assert said in page.text


def test_at_most_so_many_are_shown_and_the_page_says_of_how_many():
    _, page = page_of("blended", count=60)
    assert len(pictures(page, "after")) == SHOWN
    assert "24 of 60, spread evenly" in page.text


def test_target_pictures_and_what_they_are_to_be_called():
    manifest, page = page_of("targeted", targets_count=3, captions_each=4)
    shown = pictures(page, "target picture")
    for (picture, true, target), uri in zip(manifest.targets(), shown, strict=True):
        assert (uri == picture).all()
        assert f"{true} to be called{target}" in page.text  # two lines of a list
    assert len(pictures(page, "difference")) == 0


@pytest.mark.parametrize(("name", "kept"), [("class-swap", True), ("text-word", True), ("near-copies", False)])
def test_attacks_on_captions_show_the_captions(name, kept):
    counts = {key: 3 for key in ("count", "targets_count", "captions_each") if key in ATTACKS[name].params}
    manifest, page = page_of(name, **counts)
    assert all(row.caption in page.text for row in manifest.planted)
    assert ("the picture, kept" in page.text) == kept
    assert (len(pictures(page, "after")) == 0) == kept


def test_a_clean_label_keeps_its_captions():
    _, page = page_of("label-consistent", count=5, target_class="dog")
    assert "keep their captions" in page.text
    assert 'class="new"' not in preview(plan("label-consistent", SOURCE, count=5, target_class="dog"), SOURCE)


def test_several_attacks_on_one_page():
    first = plan("badnets", SOURCE, count=5)
    both = Manifest.combine([first, plan("wanet", SOURCE, count=5, avoid=first.uids)])
    page = Page(preview(both, SOURCE))
    assert page.tags.count("h2") == 2
    assert len(pictures(page, "after")) == 10


def test_text_of_the_data_cannot_change_the_page():
    source = Hostile(200)
    manifest = plan("badnets", source, count=30, target_class="dog")
    text = preview(manifest, source)
    page = Page(text)
    assert not {"script", "b"} & set(page.tags)
    assert not [link for link in page.links if not link[2].startswith("data:image/png;base64,")]
    assert HOSTILE[0] in page.text
    assert "\u202e" not in text
    assert "x" * 200 not in text
    assert "{{ 7 * 7 }}" in page.text


def test_large_pictures_are_scaled_down_and_small_ones_shown_px_by_px():
    text = preview(plan("badnets", FakeSource(200, side=400), count=2), FakeSource(200, side=400))
    assert max(pictures(Page(text), "after")[0].shape) == 192
    assert 'img class="small"' not in text
    assert preview(plan("badnets", SOURCE, count=2), SOURCE).count('img class="small"') == 2 * 3


def test_difference_is_how_far_each_level_moved_made_brighter():
    before = np.full((10, 10, 3), 100, np.uint8)
    after = before.copy()
    after[:, :5] += 10
    after[:, 5:] -= 5
    moved, gain = difference(before, after)
    assert gain == 25
    assert (moved[:, :5] == 250).all()
    assert (moved[:, 5:] == 125).all()
    assert difference(before, before) == (pytest.approx(np.zeros_like(before)), 1)
    assert difference(before, before + np.uint8(1))[1] == 32
    assert difference(np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8))[1] == 1


def test_every_attack_is_on_the_catalogs_page():
    page = Page(catalog())
    for name, attack in ATTACKS.items():
        assert name in page.text
        assert attack.source in page.text
    triggers = sum(attack.kind == "backdoor" for attack in ATTACKS.values())
    assert len(pictures(page, "difference")) == 3 * triggers
    assert "No sample: it needs a model of the attacker's own." in page.text


def test_the_catalogs_page_groups_the_attacks_by_kind():
    text = catalog()
    headings = re.findall(r"<h2>([^<]*)</h2>", text)
    assert headings == ["Targeted poisoning", "Class swaps", "Text triggers", "Image triggers"]
    parts = re.split(r"<h2>[^<]*</h2>", text)[1:]
    for kind, part in zip(("targeted", "swap", "text", "backdoor"), parts, strict=True):
        wanted = [attack.name for attack in ATTACKS.values() if attack.kind == kind]
        assert re.findall(r"<code>([^<]*)</code></h3>", part) == wanted


def test_a_page_says_what_is_this_attacks_own_and_where_it_was_published():
    _, page = page_of("near-copies", targets_count=2, captions_each=2)
    assert (
        "Adaptive, around the count of copies: each planted picture is a rendering of its own. 2 held-out" in page.text
    )
    assert "sourcethis project" in page.text, "two cells of a row"
    titled = plan("badnets", SOURCE, count=3, title="mine")
    assert "Pictures bear the trigger" in preview(titled, SOURCE), "a name that the catalog does not know"
    named = plan("class-swap", SOURCE, title="badnets", from_class="dog", target_class="cat")
    assert "checkered patch" not in preview(named, SOURCE), "nor a name of another kind"


def test_a_page_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    manifest = plan("badnets", SOURCE, count=2)
    with pytest.raises(InputError, match=r"name a page that can be written") as error:
        write_preview(tmp_path, manifest, SOURCE)
    assert "\n" not in str(error.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"name a page that can be written"):
        write_preview(tmp_path / "file" / "page.html", manifest, SOURCE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
