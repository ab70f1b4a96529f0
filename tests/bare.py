"""A function in a process of its own, where no call is type-checked, for what calls very often."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CODE = """
import json, runpy, sys, warnings
warnings.simplefilter("ignore", RuntimeWarning)
print(json.dumps(runpy.run_path(sys.argv[1])[sys.argv[2]](*json.loads(sys.argv[3]))))
"""


def bare(file: Path, function: str, *arguments: Any) -> Any:
    """Return what a function of a file returns, both as JSON can say it."""
    command = [sys.executable, "-c", CODE, str(file), function, json.dumps(arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)
