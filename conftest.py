"""What of the sources is not read where Flower is missing; `make flower` reads it."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = (
    []
    if find_spec("flwr")
    else ["src/varangian/flower.py", "src/varangian/engines/flower/*", "tests/engines/flower/*"]
)
