"""One file that describes a cluster: who takes part, where they are, and what they train."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from varangian.core.checks import check_field
from varangian.engines.arrange import parse_fault, parse_topology
from varangian.engines.multiparty.address import split_address
from varangian.engines.multiparty.credentials import Paths
from varangian.engines.multiparty.limits import Limits
from varangian.errors import ParameterError, UnknownNameError
from varangian.protocols import Fault, Single, Topology
from varangian.specification import Experiment, from_strings, identity
from varangian.specification.toml import read_toml

WORDS = ("run", "party", "topology")
TABLES = ("experiment", "addresses", "listen", "keys", "checkpoints", "limits", "faults", "metrics")
PATHS = ("authority", "certificate", "key")


@dataclass(frozen=True)
class Directory:
    """What the parties of a cluster know of each other, by name: server0, worker3, peer2.

    ``addresses`` are host:port of those who listen, as others dial them, and ``listen`` where they do so
    themselves if that differs. ``every`` counts the steps between two checkpoints: with more than 1, a party
    that was killed may come back and contradict what it said. ``metrics`` are ports of Prometheus's numbers.
    ``party`` is whom the file is for, if it says so. What is None or empty is left to whoever starts the
    cluster.
    """

    experiment: Experiment
    topology: Topology
    run: str = "varangian"
    party: str | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    listen: Mapping[str, str] = field(default_factory=dict)
    keys: Path | None = None
    credentials: Mapping[str, Paths] = field(default_factory=dict)
    checkpoints: Path | None = None
    every: int = 1
    limits: Limits = field(default_factory=Limits)
    faults: Mapping[str, Fault] = field(default_factory=dict)
    metrics: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return all parties, in the order of their numbers."""
        return tuple(self.topology.name(party) for party in range(self.topology.n))

    def number(self, name: str) -> int:
        """Return a party's number. Raises UnknownNameError."""
        if name not in self.names:
            raise UnknownNameError("party", name, self.names)
        return self.names.index(name)

    @property
    def listening(self) -> tuple[str, ...]:
        """Return who has to be found by others: servers, and all peers but the last, which dials the rest."""
        group = self.topology.groups[0]
        last = group.n - 1 if group.role == "peer" else group.n
        return self.names[: max(last, 1)]

    def paths(self, name: str) -> Paths:
        """Return where a party's credentials lie. Raises ParameterError where the file does not tell."""
        if name in self.credentials:
            return self.credentials[name]
        if self.keys is None:
            raise ParameterError(f'Nothing tells where the keys of {name} are: write [keys] folder = "keys".')
        return Paths.of(self.keys, name)

    def hosts(self) -> dict[str, tuple[str, ...]]:
        """Return the machine of each party that listens, for its certificate."""
        return {
            name: (split_address(self.addresses[name])[0],) if name in self.addresses else ()
            for name in self.names
        }

    @property
    def identity(self) -> str:
        """Return a digest of all that the parties must agree on."""
        text = f"{self.run}\n{self.topology!r}\n{identity(self.experiment)}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_directory(path: Path) -> Directory:
    """Return what a file says; its paths are relative to its folder.

    Raises      DataError, ParameterError, UnknownNameError, ToleranceError
    """
    return directory_of(read_toml(path), path.parent)


def directory_of(given: Mapping[str, Any], base: Path) -> Directory:
    """Return what the tables of a file say, with paths relative to a folder.

    >>> made = directory_of({"topology": "single", "experiment": {"workers": 2}}, Path("."))
    >>> made.names, made.listening
    (('server0', 'worker0', 'worker1'), ('server0',))
    """
    _known(given, (*WORDS, *TABLES), "a cluster's file")
    tables = {name: _table(given, name) for name in TABLES}
    words = {name: _word(given, name) for name in WORDS if name in given}
    experiment = from_strings(tables["experiment"])
    topology = parse_topology(words.get("topology", "single"), experiment)
    names = [topology.name(party) for party in range(topology.n)]
    for name in ("addresses", "listen", "faults", "metrics"):
        _known(tables[name], names, f"[{name}]", what="party")
    if words.get("party", names[0]) not in names:
        raise UnknownNameError("party", words["party"], names)
    keys, checkpoints = tables["keys"], tables["checkpoints"]
    _known(keys, ("folder", *names), "[keys]")
    _known(checkpoints, ("folder", "every"), "[checkpoints]")
    every = checkpoints.get("every", 1)
    _check_every(every, topology)
    return Directory(
        experiment=experiment,
        topology=topology,
        run=words.get("run", "varangian"),
        party=words.get("party"),
        addresses=_addresses(tables["addresses"]),
        listen=_addresses(tables["listen"]),
        keys=_folder(keys, base),
        credentials={name: _paths(name, table, base) for name, table in keys.items() if name != "folder"},
        checkpoints=_folder(checkpoints, base),
        every=every,
        limits=_limits(tables["limits"]),
        faults=_faults(tables["faults"]),
        metrics={name: _port(f"[metrics] {name}", port) for name, port in tables["metrics"].items()},
    )


def _addresses(table: Mapping[str, Any]) -> dict[str, str]:
    seen: dict[tuple[str, int], str] = {}
    for name, text in table.items():
        place = split_address(text)
        if place in seen:
            raise ParameterError(f"[addresses] {seen[place]} and {name} are both at {text}.")
        seen[place] = name
    return dict(table)


def _limits(table: Mapping[str, Any]) -> Limits:
    known = {one.name: one for one in fields(Limits)}
    _known(table, known, "[limits]")
    for name, value in table.items():
        check_field("[limits]", known[name], value)
    return Limits(**table)


def _faults(table: Mapping[str, Any]) -> dict[str, Fault]:
    read = {name: parse_fault(_word(table, name)) for name in table}
    return {name: fault for name, fault in read.items() if fault is not None}


def _paths(name: str, table: Any, base: Path) -> Paths:
    if not isinstance(table, Mapping) or set(table) != set(PATHS):
        raise ParameterError(f"[keys] {name}: write all of {', '.join(PATHS)}, each with its file.")
    if not all(isinstance(path, str) for path in table.values()):
        raise ParameterError(f"[keys] {name}: write the files' paths in quotes.")
    return Paths(**{which: base / Path(table[which]).expanduser() for which in PATHS})


def _folder(table: Mapping[str, Any], base: Path) -> Path | None:
    return base / Path(_word(table, "folder")).expanduser() if "folder" in table else None


def _check_every(every: object, topology: Topology) -> None:
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ParameterError(
            f"[checkpoints] every = {every!r}: it must be a whole number of steps, at least 1."
        )
    if isinstance(topology, Single) and every > topology.window:
        raise ParameterError(
            f"[checkpoints] every = {every}: nobody stands in for a single server, and workers repeat only "
            f"their last {topology.window} gradients to one that comes back. Write {topology.window} at most."
        )


def _port(where: str, port: object) -> int:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 1 << 16:
        raise ParameterError(f"{where} = {port!r}: write a port, 9100 for instance.")
    return port


def _table(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = given.get(name, {})
    if not isinstance(table, Mapping):
        raise ParameterError(f"{name} = {table!r}: write a table, [{name}].")
    return table


def _word(given: Mapping[str, Any], name: str) -> str:
    word = given[name]
    if not isinstance(word, str) or not word:
        raise ParameterError(f"{name} = {word!r}: write a word in quotes.")
    return word


def _known(given: Mapping[str, Any], known: Iterable[str], where: str, what: str = "key") -> None:
    known = list(known)
    for name in given:
        if name not in known:
            raise UnknownNameError(f"{what} in {where}", name, known)
