"""What all tests share: deterministic hypothesis, and the folder of published data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile(
    "varangian",
    deadline=None,  # a busy machine is no bug
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("varangian")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder that holds the published data files; fail where there is none."""
    folder = os.environ.get("VARANGIAN_DATA")
    if not folder:
        pytest.fail("VARANGIAN_DATA must name the folder that holds the published data files.")
    if not Path(folder).is_dir():
        pytest.fail(f"VARANGIAN_DATA={folder} is not a folder.")
    return Path(folder)
