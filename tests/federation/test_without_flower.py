"""What a user without Flower reads."""

from __future__ import annotations

import subprocess
import sys


def test_the_extra_is_named() -> None:
    code = "import sys; sys.modules['flwr'] = None; import varangian.flower"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "MissingExtraError: varangian.flower needs an optional dependency" in done.stderr
    assert "pip install 'varangian[flower]'" in done.stderr
