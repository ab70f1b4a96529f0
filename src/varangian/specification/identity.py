"""What tells one run from another: a digest of all that can change its numbers."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from varangian.specification.experiment import Experiment
from varangian.specification.write import to_toml

FORMAT = 1
"""Raised when the same text comes to mean another run: a default that changed, a stream that was renamed."""


def identity(spec: Experiment) -> str:
    """Return 32 hexadecimal digits that are equal where the runs are, and differ where their numbers may.

    Where the data lies and on which device it is trained are left out: the numbers are to be the same, a
    device's rounding apart.

    Raises      ParameterError for what has no spelling

    >>> identity(Experiment(seed=1)) == identity(Experiment(seed=1, data_dir="/data", learning_rate=0.05))
    True
    >>> identity(Experiment(seed=1)) == identity(Experiment(seed=2))
    False
    """
    text = to_toml(replace(spec, data_dir=None, device="cpu"))
    return hashlib.blake2b(f"varangian {FORMAT}\n{text}".encode(), digest_size=16).hexdigest()
