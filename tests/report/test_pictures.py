"""The pictures on a page: of the manifest that was measured, and never fetched."""

from __future__ import annotations

import pytest

from safeclip.attacks.manifest import Manifest
from safeclip.report import pictures
from safeclip.report.facts import Run, read
from safeclip.run import RunDir
from tests.report.make_fixture import make_demo
from tests.report.test_page import change, page_of, telling


@pytest.fixture
def demo(tmp_path):
    return make_demo(tmp_path / "demo")


def test_an_attack_measured_by_another_manifest_is_not_shown_with_the_pictures_of_this_one(demo):
    ours = Manifest.load(demo / "manifest.parquet").digest
    for told, shown in ((ours, True), ("0" * 64, False)):
        for name in ("clip", "safeclip"):
            change(demo / name / "metrics.json", lambda m, told=told: m["data"].update(manifest=told))
        page = page_of(demo)
        assert bool(telling(page)) == shown
        assert ("measured by another manifest than the one here" in page.text) != shown
        assert "192" in page.text, "what was planted is known all the same"
        assert len(read(demo).planted_in(read(demo).runs[0])) > 0
    change(demo / "safeclip" / "metrics.json", lambda m: m["data"].update(manifest=[1]))
    assert "The models were evaluated on different pictures" not in page_of(demo).text, "one says nothing"
    change(demo / "safeclip" / "metrics.json", lambda m: m["data"].update(manifest="0" * 64))
    change(demo / "clip" / "metrics.json", lambda m: m["data"].update(manifest=ours))
    assert "The models were evaluated on different pictures" in page_of(demo).text


@pytest.mark.parametrize("spec", ["hf:someone/set", "hf:someone/set:config", "https://example.org/pairs.csv"])
def test_a_page_fetches_nothing(spec, tmp_path, monkeypatch):
    def opened(*_):
        raise AssertionError("opened")

    monkeypatch.setattr(pictures, "open_pairs", opened)
    run = Run(RunDir(tmp_path), {}, {}, {"data": {"spec": spec, "split": "test"}}, [], [])
    assert pictures._evaluated(run) is None
