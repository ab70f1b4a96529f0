"""``varangian neurons study`` and ``speed``: the theory beside trained models, and how fast draws are."""

from __future__ import annotations

import time
from pathlib import Path

import click
import torch

from varangian.cli import neuronsoptions as options
from varangian.cli.bar import Bar
from varangian.cli.console import show
from varangian.cli.export import write_json
from varangian.cli.neuronsmodel import model_of
from varangian.cli.neuronstable import studied_table
from varangian.cli.targets import check_targets
from varangian.core.randomness import Stream
from varangian.data import load_dataset
from varangian.neurons import Crash, Evaluation, Network, injected, measure
from varangian.neurons.harmed import Errors
from varangian.neurons.study import DEPTHS, KINDS
from varangian.neurons.study import study as studied

DRAWN = max(DEPTHS)
"""The depth whose models are drawn."""
SECONDS = 10.0
"""So long a plain loop is watched."""


@click.command()
@options.data("mnist", "What to train on.")
@options.data_dir
@options.counted("--width", 50, "Neurons a layer.")
@options.steps(600, "Steps of training.")
@options.draws(20_000, "For a variance.")
@options.seed
@options.plot
@options.json_path
def study(
    data: str,
    data_dir: Path | None,
    width: int,
    steps: int,
    draws: int,
    seed: int,
    plot: Path | None,
    json_path: Path | None,
) -> int:
    """Train models of 1 to 4 hidden layers, and hold the theory against them.

    Power of K: how the error of a Byzantine neuron grows with the Lipschitz constant; the bound's power is
    the number of layers that the error passes. For sigmoids, where they are nearly lines. Growth: the slope
    of the logarithm of the error per layer passed. R² tells how well a line fits. b3 and b4: how far their
    variance is from the measured one, at p = 0.001, in the worst layer.
    """
    check_targets([plot] if plot else [], json_path, tables=True)
    held = load_dataset(data, data_dir)
    train, test = (held.train_inputs, held.train_labels), (held.test_inputs, held.test_labels)
    found = []
    with Bar("models", len(KINDS) * len(DEPTHS), "training", counted=True, quiet=False) as bar:
        for one in studied(train, test, width=width, steps=steps, draws=draws, stream=Stream(seed)):
            found.append(one)
            bar.show(completed=len(found), told=f"{one.kind}, {one.depth}")
    show(studied_table(found))
    if json_path is not None:
        write_json({"data": data, "models": [one.to_dict() for one in found]}, json_path)
        show(f"Wrote {json_path}")
    if plot is not None:
        from varangian.cli.neuronsfigures import draw_steepness

        deep = {f"{one.kind}, {one.depth} layers": one.steepness for one in found if one.depth == DRAWN}
        show(*(f"Drew {path}" for path in draw_steepness(deep, plot)))
    return 0


@click.command()
@click.argument("model", default="mlp", metavar="MODEL")
@options.data("mnist", "Whose test set to use, all of it.")
@options.data_dir
@options.draws(10_000, "So many draws.")
@options.counted("--count", 5, "Crashes in each layer.")
@options.steps(100)
@options.seed
def speed(model: str, data: str, data_dir: Path | None, draws: int, count: int, steps: int, seed: int) -> int:
    """Measure draws per second, beside a loop that runs the model once for each draw."""
    held = load_dataset(data, data_dir)
    chain = model_of(model, held, None, steps, seed)
    inputs, labels = held.test_inputs, held.test_labels
    fault, stream = Crash(count=count), Stream(seed)
    start = time.perf_counter()
    found = measure(
        Evaluation.of(Network.of(chain, inputs), inputs), fault, draws, labels=labels, stream=stream
    )
    ours = time.perf_counter() - start
    outputs, looped, start = chain(inputs).detach(), 0, time.perf_counter()
    with torch.no_grad():
        while (spent := time.perf_counter() - start) < min(SECONDS, 3 * ours):
            with injected(chain, fault, inputs[:1], stream=stream.at("loop", draw=looped)):
                Errors.of(chain(inputs)[None], outputs, labels)
            looped += 1
    parameters = sum(values.numel() for values in chain.parameters())
    accuracy = "" if found.accuracy is None else f"accuracy {100 * found.accuracy.value:.2f} %"
    show(f"{model}, {parameters} parameters, {len(inputs)} inputs, {fault}: {accuracy}")
    show(f"{draws} draws in {ours:.1f} s: {draws / ours:.0f} draws a second")
    slower = draws / ours / (looped / spent)
    show(f"a plain loop: {looped / spent:.1f} draws a second, {slower:.0f} times as slow")
    return 0
