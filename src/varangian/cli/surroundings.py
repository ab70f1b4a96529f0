"""What this machine offers: versions, processor, memory, data."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import varangian
from varangian.data import DATASETS, Source
from varangian.data.find import locate
from varangian.data.folders import DATA, folders_to_search
from varangian.folders import CACHE, cache_folder

Line = tuple[str, str]
NEEDED = ("torch", "numpy", "click", "rich")
EXTRAS = {"pooch": "data", "scikit-learn": "data", "matplotlib": "plot", "jax": "jax"}


def versions() -> Iterator[Line]:
    """Yield the versions of what is needed, and of the extras or how to install them."""
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "varangian", varangian.__version__
    for package in NEEDED:
        yield package, _version(package) or "missing"
    for package, extra in EXTRAS.items():
        yield package, _version(package) or f"missing: {_install(extra)}"


def machine() -> Iterator[Line]:
    """Yield processor, memory and accelerators."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield (
        "processor",
        f"{usable} of {os.cpu_count()} cores usable, threads of PyTorch: {torch.get_num_threads()}",
    )
    yield "memory", _memory()
    cards = [torch.cuda.get_device_name(card) for card in range(torch.cuda.device_count())]
    yield "CUDA", ", ".join(cards) or "none"


def data() -> Iterator[Line]:
    """Yield the folders of data, and where each data set is."""
    for variable in (DATA, CACHE):
        named = os.environ.get(variable)
        missing = "" if not named or Path(named).expanduser().is_dir() else " (no such folder)"
        yield variable, f"{named}{missing}" if named else "not set"
    cache = cache_folder()
    yield "cache folder", f"{cache}, {_writable(cache)}" if cache else f"none: set {CACHE}"
    for source in DATASETS:
        yield source.name, _whereabouts(source)


def _whereabouts(source: Source) -> str:
    if source.layout == "embedded":
        return "in scikit-learn" if _version("scikit-learn") else f"missing: {_install('data')}"
    places = locate(source, folders_to_search(source.name, None))
    folders = dict.fromkeys(str(place.path.parent) for place in places if place)
    if all(places):
        return f"found in {' and '.join(folders)}"
    if folders:
        lacking = [part.name for part, place in zip(source.parts, places, strict=True) if not place]
        return f"found in {' and '.join(folders)}, but not {', '.join(lacking)}"
    return "not here; train downloads it" if cache_folder() else "not here"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _install(extra: str) -> str:
    return f"pip install 'varangian[{extra}]'"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
    except (AttributeError, OSError, ValueError):
        return "unknown"


def _writable(folder: Path) -> str:
    """Try to write into the folder, or where it would be made."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return "writable" if there == folder else "not made yet, can be"
    except OSError as error:
        return f"NOT writable: {error.strerror}; set {CACHE} to a folder that is"
