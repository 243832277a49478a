"""Every setting stands in docs/settings.md, with its text."""

from __future__ import annotations

import dataclasses
import typing

import settings_page
from pages import put

from safeclip.config import RunConfig


def test_the_committed_page_is_what_the_config_says() -> None:
    page = settings_page.PAGE.read_text("utf-8")
    made = put(settings_page.PAGE.name, page, "settings", "settings_page.py", settings_page.tables())
    assert made == page, "run python tools/settings_page.py"


def test_every_setting_has_a_text() -> None:
    for kind in (RunConfig, *filter(dataclasses.is_dataclass, typing.get_type_hints(RunConfig).values())):
        parts = {name for name, hint in typing.get_type_hints(kind).items() if dataclasses.is_dataclass(hint)}
        assert {field.name for field in dataclasses.fields(kind)} - parts <= set(settings_page.said_of(kind))
