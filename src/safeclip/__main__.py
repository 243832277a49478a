"""`python -m safeclip`: the command where it is not on the path, and as torchrun starts it."""

import sys

from safeclip.cli import main

sys.exit(main())
