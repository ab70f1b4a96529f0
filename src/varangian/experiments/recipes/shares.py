"""The statements of the worker momentum paper, as shares of pairs of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from varangian.experiments.recipes.report import Comparison, Line, Number, share
from varangian.experiments.view import Run, best_accuracy

ALL, HALF, QUARTER = "all", "half Byzantine", "a quarter Byzantine"
EVERYTHING = "all four data sets"
CONVOLUTIONAL = "cifar"


@dataclass(frozen=True)
class Trio:
    """One setting and seed: highest accuracies unattacked, and attacked with momentum at both places."""

    byzantine: int
    calm: float
    update: float
    worker: float

    @property
    def lost(self) -> float:
        """Return what the attack costs with momentum at the update, in points."""
        return 100 * (self.calm - self.update)

    @property
    def regained(self) -> float:
        """Return what momentum at the worker adds to that, in points."""
        return 100 * (self.worker - self.update)


COST = "attack costs more than {} points"
REGAIN = "of those, worker momentum wins back more than {}"
WORSE = "worker momentum is worse"
WORSE_BY = "worker momentum is worse by more than {} points"

PUBLISHED: dict[tuple[str, str, str], Number] = {
    (EVERYTHING, ALL, REGAIN.format(20)): Number(60.0, bound=">"),
    (EVERYTHING, ALL, WORSE): Number(0.23),
    (CONVOLUTIONAL, HALF, COST.format(20)): Number(100.0),
    (CONVOLUTIONAL, HALF, REGAIN.format(10)): Number(79.75),
    (CONVOLUTIONAL, HALF, REGAIN.format(20)): Number(49.25),
    (CONVOLUTIONAL, QUARTER, COST.format(20)): Number(46.46),
    (CONVOLUTIONAL, QUARTER, REGAIN.format(20)): Number(95.07),
}
"""What the paper states, in percent of pairs (El-Mhamdi et al., ICLR 2021); of CNNs, over both CIFARs."""

NOTES = (
    "A pair is one setting and seed, with momentum at the update and at the worker. Accuracy is the highest "
    "of a run's evaluations. The cost of an attack is that of the run without attack (the n - f honest "
    "workers, averaged; same learning rate, Nesterov and seed) minus that of momentum at the update; what "
    "worker momentum wins back is its own minus that of momentum at the update.",
    "Published numbers over several data sets: 'all' is over all four, those of halves and quarters are over "
    "CIFAR-10 and CIFAR-100. The paper does not say by how much the 0.23 % are worse.",
)


def trios(runs: Sequence[Run]) -> list[Trio]:
    """Return every setting and seed whose three runs are there, in the order of the attacked runs."""
    calm: dict[object, float] = {}
    attacked: dict[object, dict[str, float]] = {}
    specs: dict[object, tuple[object, int]] = {}
    for run in runs:
        spec = run.experiment
        heavy = (spec.data, spec.honest, spec.learning_rate, spec.nesterov, spec.seed)
        if not spec.byzantine:
            calm[heavy] = best_accuracy(run)
            continue
        setting = (heavy, spec.rule, spec.attack)
        specs[setting] = (heavy, spec.byzantine)
        attacked.setdefault(setting, {})[spec.momentum_at] = best_accuracy(run)
    return [
        Trio(specs[setting][1], calm[specs[setting][0]], places["update"], places["worker"])
        for setting, places in attacked.items()
        if specs[setting][0] in calm and {"update", "worker"} <= set(places)
    ]


def shares_beside(
    runs: Sequence[Run], byzantine: tuple[int, int], data: str, *, comparable: bool
) -> Comparison:
    """Return every share beside the published one, in percent; ``byzantine`` are the half and the quarter."""
    found = trios(runs)
    half, quarter = byzantine
    lines = [
        *_lines(found, ALL, EVERYTHING, comparable),
        *_lines([trio for trio in found if trio.byzantine == half], HALF, data, comparable),
        *_lines([trio for trio in found if trio.byzantine == quarter], QUARTER, data, comparable),
    ]
    return Comparison(f"Worker momentum on {data}: {len(found)} pairs of runs", "%", tuple(lines), NOTES)


def _lines(found: Sequence[Trio], group: str, data: str, comparable: bool) -> list[Line]:
    over = {points: [trio for trio in found if trio.lost > points] for points in (10, 20)}
    measures = {
        COST.format(10): share(len(over[10]), len(found)),
        REGAIN.format(10): share(sum(trio.regained > 10 for trio in over[10]), len(over[10])),
        COST.format(20): share(len(over[20]), len(found)),
        REGAIN.format(20): share(sum(trio.regained > 20 for trio in over[20]), len(over[20])),
        WORSE: share(sum(trio.regained < 0 for trio in found), len(found)),
        WORSE_BY.format(5): share(sum(trio.regained < -5 for trio in found), len(found)),
    }
    source = CONVOLUTIONAL if data.startswith(CONVOLUTIONAL) else data
    return [
        Line(f"{group}: {what}", PUBLISHED.get((source, group, what)), ours, comparable)
        for what, ours in measures.items()
    ]
