"""What ``varangian neurons`` prints: a line per layer, a line per critical neuron, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table

from varangian.cli.console import table
from varangian.neurons import Report, Studied

LAYERS = ("layer", "neurons", "K", "max weight in", "crashes proven", "at worst", "on average")
RANDOM = ("layer", "measured", "b4", "b3", "b2")
CRITICAL = ("layer", "neuron", "mean error", "loss", "points lost")
STUDIED = (
    "activation",
    "layers",
    "accuracy (%)",
    "power of K, by layer",
    "growth per layer",
    "b3 off",
    "b4 off",
)


def head(report: Report) -> Iterator[str]:
    """Yield what the report is of."""
    yield (
        f"{report.model}: {report.parameters} parameters, {report.inputs} inputs, "
        f"{100 * report.accuracy:.1f} % right"
    )
    yield f"Bounds assume: {'; '.join(report.assumptions)}."
    yield (
        f"Budget: {100 * report.lost:g} points of accuracy, which outputs within {report.budget:.3g} of the "
        "true ones cannot cost."
    )


def layers_table(report: Report) -> Table:
    """Return a row per hidden layer, with how many crashes it bears within the budget."""
    rows = []
    for number, size in enumerate(report.neurons, 1):
        worst, mean = report.borne(number)
        facts = (report.lipschitz[number - 1], report.weights[number - 1])
        rows.append(
            [str(number), str(size), *(f"{one:.3g}" for one in facts)]
            + [str(one) for one in (report.alone[number - 1], worst, mean)]
        )
    return table(LAYERS, rows, numbers=LAYERS)


def random_table(report: Report) -> Table:
    """Return a row per layer: the standard deviation that random crashes cause."""
    rows = [
        [str(one.layer), *(f"{value:.4g}" for value in (one.measured, one.b4, one.b3, one.b2))]
        for one in report.deviations
    ]
    return table(RANDOM, rows, numbers=RANDOM)


def critical_table(report: Report) -> Table:
    """Return a row per critical neuron."""
    rows = [
        [
            str(one.layer),
            str(one.neuron),
            f"{one.error:.3g}",
            f"{one.loss:+.3g}",
            f"{100 * one.accuracy_lost:.2f}",
        ]
        for one in report.critical
    ]
    return table(CRITICAL, rows, numbers=CRITICAL)


def uses(report: Report) -> Iterator[str]:
    """Yield what the bounds and measurements are good for."""
    together = report.together
    yield (
        f"Proven together: {together.total} crashes {together.counts}; layers that do not wait for so many "
        f"neurons are {report.speedup:.3g} times as fast."
    )
    for one in report.bits:
        what = "what neurons send" if one.of == "neurons" else "weights"
        proven = "more than 24" if one.proven is None else str(one.proven)
        measured = "more than 24" if one.measured is None else str(one.measured)
        yield f"Bits for {what}: {measured} do, {proven} are proven to."
    chance = f"{100 * report.probability:g} %"
    yield (
        f"Each neuron crashing with {chance}: an output is off by {report.random.value:.3g} "
        f"({report.random.low:.3g} to {report.random.high:.3g}) on average; proven: {report.expected:.3g}."
    )
    shares = ", ".join(f"{count}: {100 * share:.1f} %" for count, share in report.replicas)
    yield (
        f"Replicas whose median is right but for {report.target:g} of the time, and the share of inputs "
        f"for which that is certified: {shares}."
    )


def studied_table(models: Iterable[Studied]) -> Table:
    """Return a row per trained model."""
    rows = []
    for one in models:
        powers = ", ".join(str(line) for line in one.steepness.by_layer())
        growth = "" if one.depth < 2 else _growth(one)
        off = [
            f"{100 * max(abs(getattr(found, b) - 1) for found in one.foretold):.1f} %" for b in ("b3", "b4")
        ]
        rows.append([one.kind, str(one.depth), f"{100 * one.accuracy:.1f}", powers, growth, *off])
    return table(STUDIED, rows, numbers=("layers", "accuracy (%)", "b3 off", "b4 off"))


def _growth(one: Studied) -> str:
    lines = list(zip(one.steepness.constants, one.steepness.by_depth(), strict=True))
    return "; ".join(f"K={constant:.3g}: {line}" for constant, line in (lines[0], lines[-1]))
