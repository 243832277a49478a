"""The two ways a command ends badly, told apart by who has to act.

Every message is one line that names the file or field, the value, and the mend: it is printed as it stands.
"""


class InputError(ValueError):
    """What the user gave cannot be used: a path, a column, a setting, a checkpoint. Exit code 2."""


class RunError(RuntimeError):
    """The work itself failed while running: too many bad pairs, a loss that is NaN. Exit code 1."""


class Halted(RunError):
    """Training had to stop between two steps: told to, or its data is gone. Its state is whole and saved first."""
