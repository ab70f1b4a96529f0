"""What needs Flower: not read where Flower is missing, and marked, so that `make flower` runs it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

HOME = Path("src/varangian/engines/flower")

collect_ignore_glob = (
    [] if find_spec("flwr") else ["src/varangian/flower.py", f"{HOME}/*", "tests/engines/flower/*"]
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the doctests of the room that needs Flower."""
    for item in items:
        if item.path.is_relative_to(config.rootpath / HOME):
            item.add_marker("flower")
