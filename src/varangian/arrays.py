"""Files of arrays, read without trust."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(source: Path | io.BytesIO) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that ``numpy.savez`` wrote; nothing in it is executed.

    Raises      OSError where it cannot be read, MemoryError, ValueError for whatever is wrong with it
    """
    try:
        with np.load(source, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise ValueError(str(error) or type(error).__name__) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name!r} is no array")
    return arrays
