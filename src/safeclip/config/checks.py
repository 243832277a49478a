"""What a setting may be: errors name it, its value and the mend."""

from __future__ import annotations

from safeclip.errors import InputError


def check(ok: bool, name: str, value: object, mend: str) -> None:
    """Raises InputError, with the setting, its value and what to do, unless it is `ok`."""
    if not ok:
        raise InputError(f"{name} = {value!r}: {mend}")


def check_share(name: str, value: float) -> None:
    """Raises InputError unless the value lies in 0..1."""
    check(0.0 <= value <= 1.0, name, value, "give a share between 0 and 1")
