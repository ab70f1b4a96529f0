"""Where it was measured: processor, versions, and the commit if the library runs from a checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import varangian
from varangian.experiments.sweeps.crew import usable_cores

PACKAGES = ("torch", "numpy", "llvmlite")


def machine() -> dict[str, str]:
    """Return what is known of this machine and of what runs on it."""
    return {
        "processor": processor_name(),
        "cores": str(usable_cores()),
        "threads": str(torch.get_num_threads()),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "varangian": varangian.__version__,
        "commit": commit(Path(varangian.__file__).parent),
    }


def processor_name() -> str:
    """Return the processor's name, and what LLVM calls its kind where LLVM is there."""
    names = [line.partition(":")[2].strip() for line in _information() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    try:
        from varangian.kernels.compiled.processor import processor

        return f"{name} ({processor().name})"
    except ImportError:
        return name


def commit(source: Path) -> str:
    """Return the checkout's commit, with a + if files have changed since; unknown where there is none."""

    def git(*words: str) -> str | None:
        try:
            asked = ["git", "-C", str(source), *words]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if not git("ls-files", "__init__.py"):
        return "unknown"
    return f"{git('rev-parse', '--short', 'HEAD')}{'+' if git('status', '--porcelain', '.') else ''}"


def _information() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
