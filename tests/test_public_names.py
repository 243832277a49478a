"""The names that `import safeclip` offers: there in any order of import, and free until they are used."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_folder_of_the_same_name_never_hides_a_function() -> None:
    """`safeclip.train` and `safeclip.evaluate` are folders too; loading one of them must not replace the function."""
    run(
        "import sys, safeclip\n"
        "from safeclip import load_run\n"  # imports safeclip.evaluate.run, and through it safeclip.train.checkpoint
        "from safeclip import evaluate, train\n"
        "import safeclip.train.loop, safeclip.evaluate.run\n"
        "assert train is safeclip.train is sys.modules['safeclip.train.loop'].train\n"
        "assert evaluate is safeclip.evaluate is sys.modules['safeclip.evaluate.run'].evaluate_run\n"
        "assert all(callable(getattr(safeclip, name)) for name in safeclip.__all__)\n"
    )


def test_importing_the_package_or_asking_for_help_loads_no_torch() -> None:
    run(
        "import sys, safeclip, safeclip.cli\n"
        "try: safeclip.cli.main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pyarrow', 'jinja2', 'open_clip'} & set(sys.modules)\n"
    )
