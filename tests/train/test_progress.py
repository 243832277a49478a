"""What a run says while it goes: plain lines now and then, or nothing."""

from __future__ import annotations

import io

import pytest

from safeclip.train.progress import Bar


def said(monkeypatch: pytest.MonkeyPatch, seconds: list[float], before: float = 0.0, **settings: object) -> list[str]:
    """Lines of a bar that is told of a quarter more of the work at each of these seconds. before: done at the start."""
    stream, clock = io.StringIO(), iter([100.0, *[100 + s for s in seconds]])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with Bar("clip", stream, **settings) as bar:
        bar.begin(before)
        for i in range(len(seconds)):
            bar.at(before + (i + 1) / 4, f"epoch {i}")
    return stream.getvalue().splitlines()


def test_off_a_terminal_a_line_is_printed_at_once_and_then_every_so_many_seconds(monkeypatch) -> None:
    lines = said(monkeypatch, [1, 9, 17, 20], every_seconds=15)
    assert [line.split("  ")[-1].split(",")[0] for line in lines] == ["epoch 0", "epoch 2"]
    assert lines[1].startswith("clip   75%")
    assert lines[1].endswith("6 s left"), "17 s for three quarters leave a third of that"


def test_a_resumed_run_is_paced_by_what_it_does_itself(monkeypatch) -> None:
    lines = said(monkeypatch, [20, 30], before=0.5, every_seconds=15)
    assert lines == ["clip   75%  epoch 0, 20 s left"], "20 s for a quarter; half was done before"


def test_what_is_read_first_is_not_paced(monkeypatch) -> None:
    stream, clock = io.StringIO(), iter([100.0, 130.0, 140.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    bar = Bar("clip", stream)
    bar.at(0.0, "reading pictures")
    bar.begin(0.4)
    bar.at(0.5, "epoch 5")
    assert stream.getvalue().splitlines() == ["clip    0%  reading pictures", "clip   50%  epoch 5, 50 s left"]


def test_quiet_is_quiet(monkeypatch) -> None:
    assert said(monkeypatch, [1, 99], quiet=True) == []
