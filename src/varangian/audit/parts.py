"""Parts of the model: how many of its neurons may crash, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from varangian.audit.report import Finding
from varangian.audit.series import Axis, Curves, Line, Mark, Number, Series
from varangian.core.randomness import Stream
from varangian.engines.world import World
from varangian.errors import VarangianError
from varangian.neurons import Network, Point, Report, examine, traced
from varangian.neurons.papers import NEURONS_FAIL
from varangian.specification import Experiment

INPUTS = 2000
"""About so many test inputs are looked at, evenly spaced."""
QUICK = 4096
"""A model with more hidden neurons is left out unless somebody asks: it takes minutes, or hours."""
ACCURACY = "crashes_accuracy"


@dataclass(frozen=True, eq=False)
class Chapter:
    """What a report says of the parts of a model."""

    findings: tuple[Finding, ...]
    series: Mapping[str, Series]
    numbers: Mapping[str, Number]

    @property
    def measured(self) -> bool:
        """Tell whether anything was measured."""
        return bool(self.series)


def chapter(
    spec: Experiment, parameters: Tensor, lost: float, stream: Stream, asked: bool | None = None
) -> Chapter:
    """Return how the model of an experiment with these parameters bears crashes of its neurons.

    ``lost`` is what they may cost of the accuracy, 0..1. ``asked`` is None for a look at models that are
    looked at within seconds. Where no bound is known for a model, the finding says why.

    Shape       parameters (d,)
    Randomness  from ``stream``
    """
    if asked is False:
        return _uncovered("Nobody asked for it: audit(experiment), or --parts.")
    world = World.of(spec)
    world.flat.set(parameters.to(next(world.module.parameters()).device))
    every = math.ceil(len(world.data.test_labels) / INPUTS)
    inputs, labels = world.data.test_inputs[::every].cpu(), world.data.test_labels[::every].cpu()
    module = world.module.cpu().eval()
    try:
        chain = module if isinstance(module, nn.Sequential) else traced(module, inputs[:2])
        neurons = sum(layer.neurons for layer in Network.of(chain, inputs[:2]).hidden)
        if neurons > QUICK and asked is None:
            return _uncovered(
                f"It has {neurons} hidden neurons, and of more than {QUICK} a look takes long.",
                "Ask for it: audit(experiment, parts=True), or --parts.",
            )
        return told(examine(chain, inputs, labels, lost=lost, stream=stream))
    except VarangianError as error:
        return _uncovered(" ".join(str(error).split()))


def told(report: Report) -> Chapter:
    """Return what is to be said of a model."""
    layers = range(1, len(report.neurons) + 1)
    borne = [report.borne(layer)[0] for layer in layers]
    weakest = min(layers, key=lambda layer: borne[layer - 1] / report.neurons[layer - 1])
    curves = {f"crashes_{layer}": _errors(report, layer) for layer in layers}
    return Chapter(
        (_borne(report, borne, weakest), _error(report, weakest, borne[weakest - 1])),
        {ACCURACY: _accuracies(report), **curves},
        {"crashes_borne": float(min(borne)), "crashes_proven": float(min(report.alone))},
    )


def _uncovered(why: str, change: str = "") -> Chapter:
    finding = Finding(
        "crashes", "Crashed neurons borne", "not covered", None, "neurons", "not measured", why, change=change
    )
    return Chapter((finding,), {}, {"crashes_borne": None, "crashes_proven": None})


def _borne(report: Report, borne: list[int], weakest: int) -> Finding:
    tried = ", ".join(str(point.count) for point in _points(report, weakest))
    mean = _by_layer(report, (report.borne(layer)[1] for layer in range(1, len(borne) + 1)))
    return Finding(
        "crashes",
        "Crashed neurons borne",
        "pass" if min(borne) else "warn",
        float(min(borne)),
        "neurons",
        _by_layer(report, borne),
        f"So many crashes within a layer cost at most {100 * report.lost:g} points of accuracy in the worst "
        f"sets that a search found ({tried} were tried); at random places, on average, {mean} do. Proven are "
        f"{_by_layer(report, report.alone)}. Measured with the model that training without liars leaves, on "
        f"{report.inputs} test inputs.",
        change=""
        if min(borne)
        else f"A single neuron of layer {weakest} decides too much: train with dropout, or with "
        "varangian.neurons.CrashVariance as a regulariser.",
        reference=NEURONS_FAIL.short,
        series=(ACCURACY,),
    )


def _error(report: Report, layer: int, borne: int) -> Finding:
    """Return what the most crashes do that are borne, or else the fewest, in the layer that bears least."""
    points = _points(report, layer)
    point = next((point for point in points if point.count == borne), points[0])
    crashes = f"{point.count} neuron{'s' if point.count > 1 else ''} of layer {layer}"
    return Finding(
        "crash_error",
        "Error of an output by crashes",
        "pass",
        point.worst,
        "",
        f"{point.worst:.3g}, proven at most {point.bound:.3g}",
        f"How far an output is off, of all outputs on all inputs, with {crashes} crashed, in the worst set "
        f"that was found; the mean over random draws is {point.mean.value:.3g} ({point.mean.low:.3g} to "
        f"{point.mean.high:.3g}, a 95 % interval). It is held against the proven bound, forward error "
        f"propagation, which assumes: {'; '.join(report.assumptions)}.",
        point.bound,
        reference=NEURONS_FAIL.short,
        series=tuple(f"crashes_{number}" for number in range(1, len(report.neurons) + 1)),
    )


def _errors(report: Report, layer: int) -> Curves:
    points = _points(report, layer)
    lines = {
        "proven": [point.bound for point in points],
        "worst found": [point.worst for point in points],
        "mean": [point.mean.value for point in points],
        "mean, from": [max(0.0, point.mean.low) for point in points],
        "mean, to": [point.mean.high for point in points],
    }
    return Curves(
        f"Error against crashed neurons of layer {layer}",
        "The largest error of an output on any test input: proven, the worst found, and the mean over random "
        "draws with its 95 % interval.",
        Axis("crashed neurons", "neurons"),
        Axis("error", "of an output"),
        tuple(Line(name, _counts(points), tuple(values)) for name, values in lines.items()),
    )


def _accuracies(report: Report) -> Curves:
    lines = []
    for layer in range(1, len(report.neurons) + 1):
        points = _points(report, layer)
        worst = tuple(point.worst_accuracy for point in points)
        mean = tuple(point.accuracy.value for point in points)
        lines.append(Line(f"layer {layer}, worst found", _counts(points), worst))
        lines.append(Line(f"layer {layer}, mean", _counts(points), mean))
    return Curves(
        "Accuracy against crashed neurons",
        "Test accuracy with so many neurons of one layer crashed: in the worst set found, and on average.",
        Axis("crashed neurons", "neurons"),
        Axis("accuracy", "share"),
        tuple(lines),
        (Mark("y", max(0.0, report.accuracy - report.lost), "what passes"),),
        "high",
    )


def _points(report: Report, layer: int) -> list[Point]:
    return [point for point in report.curves if point.layer == layer]


def _counts(points: Iterable[Point]) -> tuple[float, ...]:
    return tuple(float(point.count) for point in points)


def _by_layer(report: Report, counts: Iterable[int]) -> str:
    parts = [f"{count} of {size}" for count, size in zip(counts, report.neurons, strict=True)]
    if len(parts) == 1:
        return parts[0]
    return ", ".join(f"{part} in layer {number}" for number, part in enumerate(parts, 1))
