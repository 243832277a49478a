"""Checks of a trigger's parameters, which may come from anyone's manifest: one line that names value and mend."""

from __future__ import annotations

from safeclip.config import checks


def check(ok: bool, name: str, value: object, mend: str) -> None:
    """Raises InputError unless ok. value: cut, for it may be of any length."""
    checks.check(ok, f"trigger.{name}", str(value)[:60], mend)


def number(name: str, value: object, low: float, high: float) -> None:
    """A finite number within low..high."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high  # NaN is in no range
    check(ok, name, value, f"give a number from {low:g} to {high:g}")


def whole(name: str, value: object, low: int, high: int) -> None:
    """A whole number within low..high."""
    ok = isinstance(value, int) and not isinstance(value, bool)
    check(ok and low <= value <= high, name, value, f"give a whole number from {low} to {high}")  # type: ignore[operator]


def choice(name: str, value: object, among: tuple[str, ...]) -> None:
    """One of the names."""
    check(isinstance(value, str) and value in among, name, value, f"give one of {', '.join(among)}")
