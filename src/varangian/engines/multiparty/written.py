"""A cluster's description -> the file that reads as the same description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from varangian.engines.multiparty.directory import TOPOLOGIES, Directory
from varangian.protocols import Decentralised, Fault, Topology
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
            _lines({"run": directory.run, **party}),
            _table("topology", _topology(directory.topology)),
            f"\n[experiment]\n{to_toml(directory.experiment)}",
            _table("addresses", directory.addresses),
            _table("keys", keys),
            _table("checkpoints", {**kept, "every": directory.every}),
            _table("limits", directory.limits),
            _table("faults", {name: _spelled(fault) for name, fault in directory.faults.items()}),
            _table("metrics", directory.metrics),
        ]
    )


def _topology(topology: Topology) -> dict[str, Any]:
    kinds = {kind: name for name, kind in TOPOLOGIES.items()}
    told = {one.name: getattr(topology, one.name) for one in fields(topology)}
    told.pop("peers" if isinstance(topology, Decentralised) else "workers")
    return {"kind": kinds[type(topology)], **told}


def _spelled(fault: Fault) -> str:
    """Return a fault as ``fault_of`` reads it."""
    options = asdict(fault)  # type: ignore[call-overload]
    told = ",".join(f"{name}={value!r}" for name, value in options.items())
    return canonical(type(fault)) + (f":{told}" if told else "")


def _table(name: str, values: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n{_lines(values)}" if values else ""


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {literal(value)}\n" for name, value in values.items())


def _path(path: Path) -> str:
    return str(path.absolute())
