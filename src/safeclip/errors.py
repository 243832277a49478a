"""The two ways a command ends badly, told apart by who has to act.

Every message is one line that names the file or field, the value, and the mend: it is printed as it stands.
"""

from typing import Any


class InputError(ValueError):
    """What the user gave cannot be used: a path, a column, a setting, a checkpoint. Exit code 2."""


class RunError(RuntimeError):
    """The work itself failed while running: too many bad pairs, a loss that is NaN. Exit code 1.

    result: what was found out all the same, for `--json`.
    """

    result: Any = None


class Halted(RunError):
    """Training had to stop between two steps: told to, or its data is gone. Its state is whole and saved first."""


def reason(error: BaseException) -> str:
    """An error in one line of at most 160 characters: what the system says of it, its text, or else its kind."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split())[:160] or type(error).__name__
