"""What a user sees: expressions evaluated without the type checks that the test run adds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

CODE = """
import json, math, sys
import torch
import varangian as vg
from varangian.optim import *
from varangian.specification import *
from varangian.specification.toml import read_pair
for expression in json.load(sys.stdin):
    try:
        value = eval(expression)
        print(json.dumps([[], repr(value)]))
    except Exception as error:
        print(json.dumps([[kind.__name__ for kind in type(error).__mro__], str(error)]))
"""


@dataclass(frozen=True)
class Outcome:
    """The names of the error's classes, none if there was no error, and its words or the value's."""

    kinds: tuple[str, ...]
    words: str


def outcomes(expressions: Sequence[str]) -> dict[str, Outcome]:
    """Return what becomes of each expression, all in one other process."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps(list(expressions)),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    read = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        text: Outcome(tuple(kinds), words) for text, (kinds, words) in zip(expressions, read, strict=True)
    }
