"""``varangian neurons``: how a trained model bears faults of its own parts."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from torch import nn

from varangian.cli import neuronsoptions as options
from varangian.cli.commands import Commands
from varangian.cli.console import show
from varangian.cli.export import write_json
from varangian.cli.neuronsmeasured import speed, study
from varangian.cli.neuronsmodel import model_of
from varangian.cli.neuronstable import critical_table, head, layers_table, random_table, uses
from varangian.cli.targets import check_targets
from varangian.core.randomness import Stream
from varangian.data import load_dataset
from varangian.neurons import examine, replicas_for


@click.group(cls=Commands, commands=[study, speed], invoke_without_command=True)
@click.pass_context
def neurons(context: click.Context) -> None:
    """Tell how a trained model bears faults of its own parts."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@neurons.command(
    epilog="""\b
Examples:
  varangian neurons report model.pt2 --data mnist --plot neurons.png
  varangian neurons report my.code:network --weights state.pt --data mnist
  varangian neurons report mlp --data digits

A .pt2 file is what torch.export.save writes; it is read as numbers and a list of layers, and nothing in it is
executed. Other files of models are refused, because reading them can execute code. A name of the catalogue
(varangian list models) is trained first.
"""
)
@click.argument("model", metavar="MODEL.pt2|MODULE:FACTORY|NAME")
@options.data("digits", "Whose test set to use.")
@options.data_dir
@click.option("--weights", type=options.FILE, metavar="FILE", help="A state dict for MODULE:FACTORY.")
@options.counted("--inputs", 1000, "So many inputs.")
@click.option(
    "--lost", type=float, default=0.01, show_default=True, help="The share of accuracy that may go."
)
@click.option("--probability", type=float, default=0.001, show_default=True, help="Of a neuron to crash.")
@click.option(
    "--target", type=float, default=1e-5, show_default=True, help="How often replicas may be wrong."
)
@options.draws(200, "Draws of each fault.", least=2)
@options.steps(300)
@options.seed
@options.plot
@options.json_path
def report(
    model: str,
    data: str,
    data_dir: Path | None,
    weights: Path | None,
    inputs: int,
    lost: float,
    probability: float,
    target: float,
    draws: int,
    steps: int,
    seed: int,
    plot: Path | None,
    json_path: Path | None,
) -> int:
    """Report how many parts of a model can fail, and at what cost.

    Crashes by layer: what is proven, the worst that a search finds, and the mean; the neurons that matter
    most; how few bits do; how many replicas it takes.
    """
    from varangian.cli.neuronsfigures import beside, draw_report

    check_targets(beside(plot) if plot else [], json_path, tables=True)
    held = load_dataset(data, data_dir)
    chain = model_of(model, held, weights, steps, seed)
    found = examine(
        chain,
        held.test_inputs[:inputs].to(_dtype(chain)),
        held.test_labels[:inputs],
        name=Path(model).name,
        lost=lost,
        probability=probability,
        draws=draws,
        target=target,
        stream=Stream(seed).at("neurons"),
    )
    show(*head(found), "", layers_table(found))
    show("", f"Deviation of an output where neurons crash with {100 * probability:g} %:", random_table(found))
    show("", "The neurons whose crash costs most:", critical_table(found), "", *uses(found))
    if json_path is not None:
        write_json({"neurons": found.to_dict()}, json_path)
        show(f"Wrote {json_path}")
    if plot is not None:
        show(*(f"Drew {path}" for path in draw_report(found, plot)))
    return 0


@neurons.command()
@click.option("--failure", type=float, required=True, help="How often a copy is wrong at most, 0..1.")
@click.option("--target", type=float, default=1e-5, show_default=True, help="How often the median may be.")
def replicas(failure: float, target: float) -> int:
    """Tell how many copies make a median that is right: by the tail of the binomial."""
    show(str(replicas_for(failure, target)))
    return 0


def _dtype(model: nn.Module) -> torch.dtype:
    return next((values.dtype for values in model.parameters()), torch.float32)
