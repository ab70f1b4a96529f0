"""The report of an audit: what was asked, what was found, and the numbers behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from varangian.audit.series import Number, Series, plain

FORMAT = "varangian-audit/1"
STATUSES = ("refused", "fail", "warn", "pass", "not covered")
"""What may be said of a finding, the gravest first; of a whole audit, the gravest of its findings."""


@dataclass(frozen=True)
class Finding:
    """One question, its answer as a number, and what the answer means.

    ``shown`` is the number as people read it, ``limit`` what it was held against, ``change`` what would make
    it better, ``series`` the figures behind it.
    """

    id: str
    title: str
    status: str
    value: Number
    unit: str
    shown: str
    meaning: str
    limit: Number = None
    change: str = ""
    reference: str = ""
    series: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What was audited: ``kind`` is "experiment", "recording" or "rule".

    ``f`` is what the rule declares, ``b`` how many lie in the audit; ``shares`` are the parties' weights,
    summing to one, if they have any; ``specification`` is the experiment as TOML.
    """

    kind: str
    name: str
    rule: str
    spelled: str
    n: int
    f: int
    b: int
    d: int | None
    rounds: int
    shares: tuple[float, ...] | None = None
    specification: str | None = None


@dataclass(frozen=True)
class ThreatModel:
    """Against whom the numbers hold, in sentences."""

    parties: str
    trusted: tuple[str, ...]
    knows: tuple[str, ...]
    can: tuple[str, ...]
    assumed: tuple[str, ...]
    not_covered: tuple[str, ...]


@dataclass(frozen=True)
class Client:
    """What the recorded rounds say of one client; never that it lied.

    ``influence`` is how far the aggregate moves, in honest standard deviations, when the client's vector is
    replaced by the mean of the others', averaged over the rounds. ``chance`` is the probability that a client
    like all others stands out as often as this one did.
    """

    name: str
    share: float | None
    rounds: int
    influence: float | None
    outlying: int
    chance: float
    differs: bool
    words: str


@dataclass(frozen=True)
class Plane:
    """A round seen in two dimensions: the honest vectors on their two widest directions, and the worst lie.

    ``explained`` is the share of the honest variance that the plane shows.
    """

    round: int
    names: tuple[str, ...]
    honest: tuple[tuple[float, float], ...]
    liar: tuple[float, float] | None
    b: int
    f: int
    explained: float


@dataclass(frozen=True)
class Worst:
    """The worst attack that was found: ``file`` replays it, and comes to ``number``."""

    file: str
    attack: str
    quantity: str
    number: float
    words: str


@dataclass(frozen=True)
class Check:
    """A condition that somebody set, the number it met, and whether it holds."""

    text: str
    value: Number
    holds: bool


@dataclass(frozen=True)
class Report:
    """All that an audit says. ``provenance`` names versions, seeds, and hashes of code, data and updates."""

    subject: Subject
    threat_model: ThreatModel
    findings: tuple[Finding, ...]
    series: Mapping[str, Series]
    numbers: Mapping[str, Number]
    provenance: Mapping[str, Any]
    clients: tuple[Client, ...] = ()
    plane: Plane | None = None
    worst: Worst | None = None
    checks: tuple[Check, ...] = ()
    made: str = ""
    seconds: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Return the gravest status of a finding; what was not covered does not count."""
        found = {finding.status for finding in self.findings}
        return next(status for status in STATUSES if status in found or status == "not covered")

    @property
    def summary(self) -> str:
        """Return the whole audit in a sentence."""
        worst = [finding for finding in self.findings if finding.status == self.status]
        liars = f"{self.subject.b} liar{'s' if self.subject.b != 1 else ''} among {self.subject.n}"
        because = " ".join(f"{finding.title}: {finding.shown}." for finding in worst[:2])
        match self.status:
            case "pass":
                return f"{self.subject.rule} withstands {liars}, in all that was tried and measured."
            case "warn":
                return f"{self.subject.rule} withstands {liars}, with reservations. {because}"
            case "fail":
                return f"{self.subject.rule} does not withstand {liars}. {because}"
            case "refused":
                return f"No pass can be given to {self.subject.rule} with {liars}. {because}"
        return f"Nothing was measured of {self.subject.rule}."

    def finding(self, name: str) -> Finding:
        """Return a finding by its id. Raises KeyError."""
        return next(finding for finding in self.findings if finding.id == name)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it; ``schema()`` describes it."""
        return {
            "format": FORMAT,
            "made": self.made,
            "seconds": self.seconds,
            "verdict": {"status": self.status, "summary": self.summary},
            "subject": _listed(self.subject),
            "threat_model": _listed(self.threat_model),
            "findings": [
                _listed(finding) | {"value": plain(finding.value), "limit": plain(finding.limit)}
                for finding in self.findings
            ],
            "numbers": {name: plain(value) for name, value in self.numbers.items()},
            "series": {name: series.to_dict() for name, series in self.series.items()},
            "clients": [_listed(client) for client in self.clients],
            "plane": self.plane and _listed(self.plane),
            "worst_attack": self.worst and _listed(self.worst),
            "checks": [_listed(check) | {"value": plain(check.value)} for check in self.checks],
            "provenance": dict(self.provenance),
            **self.extra,
        }

    def to_json(self) -> str:
        """Return the report as a JSON text, the same for the same report."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of reports."""
    read: dict[str, Any] = json.loads(files("varangian.audit").joinpath("schema.json").read_text("utf-8"))
    return read


def _listed(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields, tuples as lists."""
    return {name: _plain(inner) for name, inner in vars(value).items()}


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
