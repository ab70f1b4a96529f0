"""The house itself: imports flow down, catalogues are complete, importing does nothing."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "varangian"
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = [
    ".".join(("varangian", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for file in FILES
    if file.stem != "__main__" and (find_spec("flwr") or "flower" not in file.with_suffix("").parts)
]
CATALOGUES = [
    ("varangian.aggregators", "RULES"),
    ("varangian.mixers", "MIXERS"),
    ("varangian.attacks", "ATTACKS"),
    ("varangian.data", "DATASETS"),
    ("varangian.models", "MODELS"),
]
HEAVY = {
    "beartype",
    "click",
    "cryptography",
    "dp_accounting",
    "flwr",
    "grpc",
    "hypothesis",
    "jax",
    "matplotlib",
    "mlflow",
    "pandas",
    "pooch",
    "prometheus_client",
    "pyarrow",
    "pytest",
    "ray",
    "rich",
    "scipy",
    "sklearn",
    "tensorboard",
}
MOST_LINES = 400
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b:?(?P<reason>.*)")
FEWEST_WORDS = 3


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_imports_flow_down() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--no-logo"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_is_light() -> None:
    code = "import sys, varangian; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not HEAVY & set(done.stdout.split())


def test_a_first_call_waits_for_no_algebra() -> None:
    """PyTorch's own ``broadcast_shapes`` imports SymPy, which takes a quarter of a second."""
    code = (
        "import sys, torch, varangian as vg; "
        "vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))(torch.rand(5, 9)); "
        "print('sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def modules_of(room: ModuleType) -> Iterator[ModuleType]:
    """Yield a room and every module below it."""
    yield room
    for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        yield importlib.import_module(found.name)


def shared_bases(kinds: set[type]) -> set[type]:
    """Return the classes of this library that all of these derive from."""
    ancestors = [set(kind.__mro__) for kind in kinds]
    return {base for base in set.intersection(*ancestors) if base.__module__.startswith("varangian.")}


def is_entry(thing: Any, module: ModuleType, bases: set[type]) -> bool:
    """Tell whether a thing is a public, concrete, frozen dataclass of this module and this family."""
    return (
        inspect.isclass(thing)
        and thing.__module__ == module.__name__
        and not thing.__name__.startswith("_")
        and not inspect.isabstract(thing)
        and dataclasses.is_dataclass(thing)
        and thing.__dataclass_params__.frozen  # type: ignore[attr-defined]
        and (not bases or issubclass(thing, tuple(bases)))
    )


def half_of_a_rule(thing: type) -> bool:
    """Tell whether a class lives beside the rule it is a half of, as Bulyan's selection."""
    return thing in importlib.import_module("varangian.aggregators").HALVES


def uncatalogued(room: ModuleType, catalogue: tuple[Any, ...]) -> tuple[set[str], set[str]]:
    """Return what the folder holds and the catalogue does not, and the reverse."""
    listed = {entry if inspect.isclass(entry) else type(entry) for entry in catalogue}
    bases = shared_bases(listed)
    held = {
        thing
        for module in modules_of(room)
        for thing in vars(module).values()
        if is_entry(thing, module, bases)
    }
    missing = {kind.__name__ for kind in held - listed if not half_of_a_rule(kind)}
    return missing, {kind.__name__ for kind in listed - held}


@pytest.mark.parametrize(("room", "name"), CATALOGUES, ids=[name for _, name in CATALOGUES])
def test_catalogue_is_the_folder(room: str, name: str) -> None:
    module = importlib.import_module(room)
    catalogue = getattr(module, name)
    assert isinstance(catalogue, tuple)
    assert catalogue
    assert len(set(catalogue)) == len(catalogue), "An entry stands twice."
    missing, foreign = uncatalogued(module, catalogue)
    assert not missing, f"{room}.{name} lacks {sorted(missing)}."
    assert not foreign, f"{room}.{name} lists {sorted(foreign)}, which are no frozen dataclasses of the room."


@pytest.mark.parametrize("name", MODULES)
def test_public_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert not missing


def test_no_public_name_stands_twice() -> None:
    public = importlib.import_module("varangian").__all__
    assert len(set(public)) == len(public)


def test_version_is_one() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert importlib.import_module("varangian").__version__ == declared["version"]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_one_file_is_one_idea(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines; split it at the second idea."


def test_nothing_is_left_unfinished_without_a_reason() -> None:
    bare = [
        f"{name_of(file)}:{number}"
        for file in [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if (found := UNFINISHED.search(line)) and len(found["reason"].split()) < FEWEST_WORDS
    ]
    assert not bare
