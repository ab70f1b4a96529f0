"""The pictures of ``varangian neurons``: errors against crashes, against steepness, and against depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varangian.experiments.figures.sheet import Sheet, plain
from varangian.experiments.figures.style import Style
from varangian.neurons import Mean, Report, Steepness

CURVES = ("layer", "crashes", "bound", "worst found", "mean", "low", "high", "accuracy", "worst accuracy")
STEEP = ("model", "factor", "lipschitz constant", "layer", "layers passed", "error", "low", "high", "bound")


def beside(path: Path) -> tuple[Path, Path]:
    """Return the paths of the two pictures of a report.

    >>> [str(one) for one in beside(Path("a/neurons.png"))]
    ['a/neurons.png', 'a/neurons-steepness.png']
    """
    return path, path.with_stem(f"{path.stem}-steepness")


def draw_report(report: Report, path: Path) -> list[Path]:
    """Draw the curves and the steepness of a report; return the files written."""
    curves, steep = beside(path)
    return [*draw_crashes(report, curves), *draw_steepness({report.model: report.steepness}, steep)]


def draw_crashes(report: Report, path: Path) -> list[Path]:
    """Draw the error against the number of crashes, a panel per layer: bound, worst found, and mean."""
    layers = range(1, len(report.neurons) + 1)
    title = f"{report.model}: crashes in one layer, {report.inputs} inputs"
    sheet = Sheet(path, len(layers), title=title, size=(4.2, 3.4))
    handles: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    for axes, layer in zip(sheet.panels, layers, strict=True):
        points = [point for point in report.curves if point.layer == layer]
        counts = [point.count for point in points]
        for number, (name, values) in enumerate(
            {
                "bound (FEP)": [point.bound for point in points],
                "worst found": [point.worst for point in points],
                "mean, with its 95 % interval": [point.mean.value for point in points],
            }.items()
        ):
            look = Style(number).line(len(points)) | {"markevery": 1}
            (handles[name],) = axes.plot(counts, values, **look)
        low, high = [point.mean.low for point in points], [point.mean.high for point in points]
        axes.fill_between(counts, low, high, color=Style(2).colour, alpha=0.2, linewidth=0)
        axes.set(xscale="log", yscale="log", xlabel="crashed neurons", ylabel="largest error of an output")
        axes.set_title(f"layer {layer} of {len(layers)}, {report.neurons[layer - 1]} neurons", fontsize=10)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        plain(axes)
        rows += [
            (layer, p.count, p.bound, p.worst, *_interval(p.mean), p.accuracy.value, p.worst_accuracy)
            for p in points
        ]
    sheet.legend(list(handles.values()), list(handles))
    return sheet.write(CURVES, rows)


def _interval(mean: Mean) -> tuple[float, float, float]:
    return mean.value, mean.low, mean.high


def draw_steepness(models: dict[str, Steepness], path: Path) -> list[Path]:
    """Draw, for each model, the error against the Lipschitz constant, and against the depth of the layer."""
    deep = any(len(steep.errors[0]) > 1 for steep in models.values())
    across = 2 if deep else 1
    title = "One Byzantine neuron: the error it makes"
    sheet = Sheet(path, across * len(models), size=(5, 3.9), columns=across, title=title)
    rows: list[tuple[object, ...]] = []
    for place, (name, steep) in enumerate(models.items()):
        _by_constant(sheet.panels[across * place], name, steep)
        if deep:
            _by_depth(sheet.panels[across * place + 1], name, steep)
        rows += _rows(name, steep)
    return sheet.write(STEEP, rows)


def _by_constant(axes: Any, name: str, steep: Steepness) -> None:
    layers = len(steep.errors[0])
    flat = max(k for k, by in zip(steep.constants, steep.factors, strict=True) if by <= steep.flat)
    where = "" if flat == max(steep.constants) else f" up to {flat:.3g}"
    for layer in range(layers):
        look = Style(layer).line(len(steep.constants)) | {"markevery": 1}
        means = [row[layer] for row in steep.errors]
        line = steep.by_layer()[layer]
        label = f"layer {layer + 1}: power {line}{where}"
        axes.plot(steep.constants, [mean.value for mean in means], label=label, **look)
        low, high = [mean.low for mean in means], [mean.high for mean in means]
        axes.fill_between(steep.constants, low, high, color=Style(layer).colour, alpha=0.15, linewidth=0)
        axes.plot(
            steep.constants, [row[layer] for row in steep.bounds], color=Style(layer).colour, alpha=0.35
        )
    _finish(axes, name, "Lipschitz constant", xscale="log")
    axes.set_xticks(steep.constants, [f"{constant:.3g}" for constant in steep.constants])
    axes.minorticks_off()


def _by_depth(axes: Any, name: str, steep: Steepness) -> None:
    layers = len(steep.errors[0])
    depths = [layers - layer for layer in range(1, layers + 1)]
    lines: Sequence[object] = steep.by_depth() if layers > 1 else [None] * len(steep.errors)
    for number, (constant, row, line) in enumerate(zip(steep.constants, steep.errors, lines, strict=True)):
        look = Style(number).line(len(row)) | {"markevery": 1}
        label = f"K = {constant:.3g}" + (f": slope {line}" if line else "")
        axes.plot(depths, [one.value for one in row], label=label, **look)
    _finish(axes, name, "layers between the failing one and the output")
    axes.set_xticks(depths, [str(depth) for depth in depths])


def _finish(axes: Any, name: str, across: str, **scale: str) -> None:
    axes.set(xlabel=across, ylabel="mean error of an output", yscale="log", **scale)
    axes.set_title(f"{name} (pale: bound)" if scale else name, fontsize=10)
    axes.legend(frameon=False, fontsize=7)
    plain(axes)


def _rows(name: str, steep: Steepness) -> list[tuple[object, ...]]:
    return [
        (name, factor, constant, layer, len(row) - layer, one.value, one.low, one.high, bound)
        for factor, constant, row, bounds in zip(
            steep.factors, steep.constants, steep.errors, steep.bounds, strict=True
        )
        for layer, (one, bound) in enumerate(zip(row, bounds, strict=True), 1)
    ]
