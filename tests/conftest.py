"""What all tests share: deterministic hypothesis, kept kernels, and the folder of published data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typechecker
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


@pytest.fixture(scope="session", autouse=True)
def kept_kernels(pytestconfig: pytest.Config) -> Iterator[None]:
    """Keep what is compiled beside pytest's own cache, for all processes of this run and for the next run."""
    from varangian.kernels.compiled import jit

    folder = pytestconfig.cache.mkdir("varangian") if pytestconfig.cache else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit, "cache_folder", lambda: folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_ports() -> Iterator[None]:
    """Choose ports that no other process of this run chooses: they are free until they are used."""
    from varangian.engines.multiparty import cluster

    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "PORTS", cluster.PORTS[number::count])
        yield


@pytest.fixture(autouse=True)
def first_calls_are_checked() -> None:
    """Check the types of each function's first calls in this test."""
    typechecker.begin_anew()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile kernels, whatever the environment says."""
    from varangian.kernels.compiled import jit

    monkeypatch.delenv(jit.SWITCH, raising=False)
    jit.available.cache_clear()
    assert jit.available(), "llvmlite is missing, or may not make code that runs."
    yield
    jit.available.cache_clear()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile nothing, as on a machine that cannot."""
    from varangian.kernels.compiled import jit

    monkeypatch.setenv(jit.SWITCH, "0")
    jit.available.cache_clear()
    assert not jit.available()
    yield
    jit.available.cache_clear()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder that holds the published data files; fail where there is none."""
    folder = os.environ.get("VARANGIAN_DATA")
    if not folder:
        pytest.fail("VARANGIAN_DATA must name the folder that holds the published data files.")
    if not Path(folder).is_dir():
        pytest.fail(f"VARANGIAN_DATA={folder} is not a folder.")
    return Path(folder)
