"""The frontier's page and picture are what the committed records make."""

from __future__ import annotations

import frontier
from pages import put


def test_the_committed_page_and_picture_are_what_the_records_make() -> None:
    results = frontier.ROOT / "bench" / "results"
    found = {name: frontier.points(results, files) for name, files in frontier.SETS.items()}
    file = frontier.ROOT / "docs" / "frontier.md"
    page = file.read_text("utf-8")
    made = put(file.name, page, "frontier", "frontier.py", frontier.written(results, found))
    assert made == page, "run python tools/frontier.py"
    assert frontier.chart(found) == (frontier.ROOT / "docs" / "frontier.svg").read_text("utf-8")
