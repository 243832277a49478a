"""Asking a server again that fails for a moment: of tens of thousands of shards, each asked for by every rank, some
request always does.

What must stay true: what is not there, or not allowed, is said at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TRIES = 4
WAIT_SECONDS = 2.0
"""Before the second try; twice as long before each further one."""
_PASSING = (408, 425, 429)
"""Answers of HTTP that are no fault of what was asked, but for those from 500 on."""


def ask_again(ask: Callable[[], T]) -> T:
    """What `ask` gives. Raises what it raises, where that does not pass."""
    for left in reversed(range(TRIES)):
        try:
            return ask()
        except Exception as error:  # each driver has errors of its own
            if left == 0 or not _passes(error):
                raise
            time.sleep(WAIT_SECONDS * 2 ** (TRIES - 1 - left))
    raise AssertionError


def _passes(error: BaseException | None) -> bool:
    """Whether the server is at fault, or the way to it; fsspec hides that behind a file that is not found."""
    while error is not None:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return status in _PASSING or status >= 500
        if isinstance(error, (ConnectionResetError, TimeoutError)) or type(error).__name__ == "ServerDisconnectedError":
            return True
        error = error.__cause__
    return False
