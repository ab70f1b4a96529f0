"""A cluster's description -> the file that reads as the same description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from varangian.engines.multiparty.directory import Directory
from varangian.protocols import Fault, Topology
from varangian.specification import to_toml
from varangian.specification.names import canonical
from varangian.specification.write import literal


def written(directory: Directory) -> str:
    """Return a cluster's file; its paths are absolute.

    Raises      ParameterError for a rule, attack, model or data set of your own, which no file can name
    """
    party = {} if directory.party is None else {"party": directory.party}
    keys: dict[str, Any] = {} if directory.keys is None else {"folder": _path(directory.keys)}
    for name, paths in directory.credentials.items():
        keys[name] = {which: _path(path) for which, path in vars(paths).items()}
    kept = {} if directory.checkpoints is None else {"folder": _path(directory.checkpoints)}
    return "".join(
        [
            _lines({"run": directory.run, **party, "topology": _spelled(directory.topology)}),
            f"\n[experiment]\n{to_toml(directory.experiment)}",
            _table("addresses", directory.addresses),
            _table("listen", directory.listen),
            _table("keys", keys),
            _table("checkpoints", {**kept, "every": directory.every}),
            _table("limits", vars(directory.limits)),
            _table("faults", {name: _spelled(fault) for name, fault in directory.faults.items()}),
            _table("metrics", directory.metrics),
        ]
    )


def _spelled(value: Topology | Fault) -> str:
    """Return a topology or a fault as it is read."""
    told = {one.name: getattr(value, one.name) for one in fields(value)}  # type: ignore[arg-type]
    pairs = ",".join(f"{name}={one}" for name, one in told.items())
    return canonical(type(value)) + (f":{pairs}" if pairs else "")


def _table(name: str, values: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n{_lines(values)}" if values else ""


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {literal(value)}\n" for name, value in values.items())


def _path(path: Path) -> str:
    return str(path.absolute())
