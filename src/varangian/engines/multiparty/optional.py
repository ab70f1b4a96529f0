"""What this engine needs besides Varangian's own requirements."""

from __future__ import annotations

from importlib.util import find_spec

from varangian.errors import MissingExtraError

EXTRA = "multiparty"


def needed(*modules: str) -> None:
    """Refuse to go on without the extra's packages. Raises MissingExtraError."""
    if any(find_spec(module) is None for module in modules or ("grpc", "cryptography")):
        raise MissingExtraError("Parties in processes of their own", EXTRA)
