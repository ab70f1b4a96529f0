"""What the server hands to its rule beside the vectors, as an attack is told it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from varangian.core.randomness import as_stream
from varangian.errors import InputError

OPTIONS = ("state", "weights", "cap", "mass", "pivot", "stream")


def read_options(options: Any) -> dict[str, Any]:
    """Return the options by name, none for None. Raises InputError where there are others."""
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not options.keys() <= set(OPTIONS):
        told = list(options) if isinstance(options, Mapping) else options
        raise InputError(
            f"options={told!r} arrived; pass a dict of what the server hands to its rule, some of "
            f"{', '.join(OPTIONS)}."
        )
    as_stream(options.get("stream"))
    return dict(options)
