"""What a command line asks for: a file, words and flags -> one experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from varangian.errors import ParameterError
from varangian.specification import Experiment, from_strings
from varangian.specification.toml import read_pair, read_toml

DEFAULTS = {"data": "digits", "workers": 20, "byzantine": 4, "rule": "nnm+trmean", "attack": "optimal"}
"""What is trained when no file says so."""


def experiment_of(words: Sequence[str], flags: Mapping[str, Any]) -> Experiment:
    """Return the experiment: flags go over words, words over the file, or over the defaults without one.

    Raises VarangianError for what no experiment can be.

    >>> experiment_of(["workers=11", "steps=5", "byzantine=3"], {"byzantine": 2, "rule": "krum"}).rule
    Krum(f=2)
    """
    files = [word for word in words if _is_file(word)]
    if len(files) > 1:
        raise ParameterError(f"{' and '.join(files)} are {len(files)} experiments; train one at a time.")
    given = read_toml(files[0]) if files else DEFAULTS
    pairs = dict(read_pair(word) for word in words if word not in files)
    asked = {name: value for name, value in flags.items() if value is not None}
    return from_strings({**given, **pairs, **asked})


def _is_file(word: str) -> bool:
    return not re.match(r"\w*=", word) and (word.endswith(".toml") or Path(word).is_file())
