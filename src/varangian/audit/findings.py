"""From what was measured to what is said: every finding, figure and number of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from varangian.audit import breakdown, coefficient, costs, evidence
from varangian.audit.examination import Examined, Job, Outline
from varangian.audit.heterogeneity import estimate, heterogeneity
from varangian.audit.parts import Chapter
from varangian.audit.recording.rounds import Round
from varangian.audit.report import Client, Finding, Plane
from varangian.audit.search import Found
from varangian.audit.series import Axis, Curves, Heatmap, Line, Mark, Number, Series
from varangian.audit.training import Trained, tolerable
from varangian.specification import Experiment
from varangian.specification.spell import spell_rule


@dataclass(frozen=True, eq=False)
class Measurements:
    """All that an audit measured; ``exact`` is the worst coefficient on the vectors themselves.

    ``alike`` are rounds from which to tell how alike the honest are; ``inside`` is the look into the model.
    """

    job: Job
    kind: str
    rounds: Sequence[Round]
    examined: Sequence[Examined]
    exact: float
    d: int | None
    spec: Experiment | None = None
    trained: Trained | None = None
    allowed: float = 0.1
    alike: Sequence[Outline] = ()
    inside: Chapter | None = None

    @property
    def worst(self) -> Examined:
        """Return the round in which liars moved the rule furthest."""
        return max(self.examined, key=lambda one: one.worst.ratio)

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Return the weights of the parties."""
        return None if self.job.parties is None else tuple(self.job.parties.shares.tolist())


@dataclass(frozen=True, eq=False)
class Told:
    """What a report says of the measurements."""

    findings: tuple[Finding, ...]
    series: Mapping[str, Series]
    numbers: Mapping[str, Number]
    clients: tuple[Client, ...]
    plane: Plane | None


def tell(made: Measurements) -> Told:
    """Return everything that can be said of the measurements."""
    job, examined, trained = made.job, made.examined, made.trained
    rule, n, b, weighted = job.rule, job.n, job.b, job.parties is not None
    kappa = coefficient.proven_of(rule, n, b, weighted)
    clients: tuple[Client, ...] = ()
    series: dict[str, Series] = {
        "coefficient": coefficient.by_round(examined, job),
        "attacks": coefficient.by_attack(examined),
    }
    price, series["breakdown_declared"] = breakdown.caution(examined, job)
    found = [
        coefficient.condition(rule, n),
        coefficient.declared(rule, n, b),
        coefficient.proven(rule, n, b, weighted),
        coefficient.coefficient(examined, job, made.exact),
    ]
    numbers: dict[str, Number] = {
        "coefficient": made.exact,
        "proven_coefficient": kappa,
        "lower_bound": coefficient.lower_bound(n, b),
        "cost_error": price.value,
    }
    if trained is not None and made.spec is not None:
        found += _of_training(made.spec, trained, b, made.allowed)
        series |= {"heatmap": _heatmap(trained, b, n), "breakdown_real": _by_liars(made, trained)}
        numbers |= {
            "worst_accuracy": trained.by_liars[b],
            "calm_accuracy": trained.calm,
            "accuracy_loss": trained.averaged - trained.by_liars[b],
            "cost_accuracy": trained.averaged - trained.calm,
            "breakdown": float(tolerable(trained, made.allowed)),
        }
    else:
        series["breakdown_real"] = breakdown.by_liars(made.worst.worst.ground.seen, job)
    found.append(price)
    if made.shares is not None and made.kind == "recording":
        series["breakdown_weight"] = breakdown.by_weight(made.worst.worst.ground.seen, job, made.shares)
        found.append(weight_finding(made.shares, job.parties.mass if job.parties else 0.0))
        numbers["largest_share"] = max(made.shares)
    price_told, numbers["cost_seconds"] = costs.cost(examined, job, trained, price.value, made.d)
    found.append(price_told)
    if made.kind != "rule":
        found.append(heterogeneity(made.alike, n, b, kappa))
        numbers |= {
            "heterogeneity": estimate(made.alike),
            "heterogeneity_limit": (n - 2 * b) / b if b else math.inf,
        }
        names = made.rounds[0].clients
        if made.kind == "recording":
            clients = evidence.clients_of(examined, names, made.shares)
        series["influence"] = evidence.influence_curves(examined, names)
    held = _held(made)
    found.append(costs.variance_norm(rule, n, made.d, held))
    numbers["condition_share"] = found[-1].value
    found.append(costs.privacy(made.spec, rule, made.d))
    numbers["epsilon"] = found[-1].value
    if made.inside is not None:
        found += made.inside.findings
        series |= made.inside.series
        numbers |= made.inside.numbers
    if clients:
        found.append(evidence.evidence(clients))
        numbers["differing_clients"] = found[-1].value
    return Told(tuple(found), series, numbers, clients, plane_of(made.worst.worst, made))


def weight_finding(shares: Sequence[float], mass: float) -> Finding:
    """Return what the weights allow."""
    largest = max(shares)
    return Finding(
        "weights",
        "Weight that liars may hold",
        "pass",
        mass,
        "share",
        f"{mass:.1%}, the largest party has {largest:.1%}",
        "The rule is to bear liars who hold this share together; half of the weight would be everything.",
        0.5,
        series=("breakdown_weight",),
    )


def plane_of(found: Found, made: Measurements) -> Plane | None:
    """Return the worst round on the two widest directions of its honest vectors."""
    ground = found.ground
    apart = ground.rows - ground.centre
    gram = -0.5 * apart @ ground.seen.table @ apart.mT
    values, vectors = torch.linalg.eigh(gram)
    total = float(values.clamp(min=0.0).sum())
    if total <= 0 or len(values) < 3:
        return None
    axes = (vectors[:, -2:].flip(-1).mT @ apart) / values[-2:].flip(-1).clamp(min=1e-300).sqrt()[:, None]
    base = ground.seen.table
    spots = -(apart @ base @ axes.mT) / 2
    lie = found.forged[0] - ground.centre
    place = -(lie @ base @ axes.mT) / 2
    scale = math.sqrt(ground.variance)
    bounded = math.isfinite(found.ratio)
    clients = ground.seen.round.clients
    place_of_round = next(place for place, one in enumerate(made.examined, 1) if one is made.worst)
    return Plane(
        place_of_round,
        tuple(clients[i] for i in ground.honest),
        tuple((x / scale, y / scale) for x, y in spots.tolist()),
        (float(place[0]) / scale, float(place[1]) / scale) if bounded else None,
        ground.b,
        made.job.rule.f or 0,
        min(1.0, float(values[-2:].sum()) / total),
    )


def _held(made: Measurements) -> float | list[bool] | None:
    """Return in which share of the steps, or in which rounds, the variance-norm condition held."""
    if made.trained is not None:
        return made.trained.condition
    bound = None if made.d is None else made.job.rule.variance_bound(made.job.n, made.d)
    if bound is None or made.kind == "rule":
        return None
    return [
        math.sqrt(one.spread * len(one.columns) / (len(one.columns) - 1)) <= bound * math.sqrt(one.length)
        for one in (examined.outline for examined in made.examined)
    ]


def _of_training(spec: Experiment, trained: Trained, b: int, allowed: float) -> list[Finding]:
    withstood = tolerable(trained, allowed)
    return [
        costs.accuracies(trained, spec, b, allowed),
        Finding(
            "breakdown",
            "Liars withstood in training",
            "pass" if withstood >= b else "fail",
            float(withstood),
            "liars",
            f"{withstood} of {spec.workers}",
            f"With more liars than that, some attack costs more than {100 * allowed:g} points of accuracy; "
            f"{', '.join(map(str, trained.by_liars))} were tried.",
            float(b),
            series=("breakdown_real",),
        ),
    ]


def _heatmap(trained: Trained, b: int, n: int) -> Heatmap:
    return Heatmap(
        "Accuracy of each rule under each attack",
        f"Test accuracy after training with {b} liars among {n}; the last column is the worst, which counts.",
        "rule",
        "attack",
        tuple(trained.by_rule),
        trained.attacks,
        tuple(trained.by_rule.values()),
        "share",
        "high",
    )


def _by_liars(made: Measurements, trained: Trained) -> Curves:
    lines = (
        Line(spell_rule(made.job.rule), *_points(trained.by_liars)),
        Line("average", *_points(trained.averaged_by_liars)),
    )
    return Curves(
        "Accuracy against the number of liars",
        "The worst accuracy over the hardest attacks, for each number of workers that really lie.",
        Axis("liars", "workers"),
        Axis("worst accuracy", "share"),
        lines,
        (
            Mark("x", float(made.job.rule.f or 0), "declared f"),
            Mark("y", max(0.0, trained.averaged - made.allowed), "what passes"),
        ),
        "high",
    )


def _points(of: Mapping[int, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(map(float, of)), tuple(of.values())
