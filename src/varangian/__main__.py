"""``python -m varangian`` is the command ``varangian``."""

import sys

from varangian.cli import main

sys.exit(main())
