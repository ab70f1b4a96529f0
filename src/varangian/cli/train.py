"""``varangian train``: one experiment, or the same three times, from words to accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from varangian.cli.choices import DEFAULTS, experiment_of
from varangian.cli.console import show, show_json
from varangian.cli.engines import engine_of, engine_options, parties_told
from varangian.cli.export import as_json, write_json
from varangian.cli.outcome import headline, outcome_table, verdict
from varangian.cli.pictures import draw, pictures
from varangian.cli.private import privacy_told
from varangian.cli.runs import lying, train_all
from varangian.cli.targets import check_targets
from varangian.errors import ParameterError
from varangian.experiments import Versus, versus
from varangian.specification import Experiment
from varangian.specification.toml import NAMES

INTERRUPTED = 130
STDOUT = Path("-")
FLAGS = ("data", "data_dir", "workers", "byzantine", "rule", "attack", "steps", "seed")
WORDS = ", ".join(name for name in NAMES if name not in FLAGS)


@click.command(
    epilog=f"""\b
Flags go over words, words over the file. Without a file: {DEFAULTS["data"]}, {DEFAULTS["workers"]} workers
of which {DEFAULTS["byzantine"]} lie, rule {DEFAULTS["rule"]}, attack {DEFAULTS["attack"]}.

Fields that are words: {WORDS}. The rule declares f, which is --byzantine if not said.

\b
Examples:
  varangian train --versus --plot demo.png
  varangian train --rule krum --attack alie:z=1.5 split=dirichlet:0.3
  varangian train experiment.toml --steps 500 learning_rate=0.1 --json result.json
"""
)
@click.argument("words", nargs=-1, metavar="[EXPERIMENT.toml] [FIELD=VALUE]...")
@click.option("--data", metavar="NAME", help="A data set: varangian list datasets.")
@click.option("--data-dir", metavar="DIR", help="The only folder to look for its files in.")
@click.option("--workers", type=int, metavar="N", help="How many workers take part.")
@click.option("--byzantine", type=int, metavar="B", help="How many of them lie.")
@click.option("--rule", help="How the server aggregates: varangian list rules; mixers before, with a plus.")
@click.option("--attack", help="What the liars send: varangian list attacks; or none.")
@click.option("--steps", type=int, metavar="N", help="How many steps to train.")
@click.option("--seed", type=int, metavar="N", help="The root of all randomness.")
@click.option("--versus", "compare", is_flag=True, help="Also without liars, and with plain averaging.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw accuracy over the steps (.png or .svg).")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write all that was measured; - is stdout."
)
@engine_options
@click.option("--quiet", is_flag=True, help="No progress on stderr; the table is still printed.")
def train(
    words: tuple[str, ...],
    compare: bool,
    plot: Path | None,
    json_path: Path | None,
    quiet: bool,
    engine: str,
    topology: str | None,
    fault: str | None,
    loss: float | None,
    **flags: Any,
) -> int:
    """Train, and tell the accuracy on the test set.

    What is not a flag is a word: learning_rate=0.1, model=logistic, split=shards:2.
    """
    spec = experiment_of(words, flags)
    runs = dict(_versus(spec) if compare else [(f"{lying(spec)}, {spec.rule!r}", spec)])
    written = None if json_path == STDOUT else json_path
    check_targets(pictures(spec, plot) if plot else (), written, tables=False)
    made = engine_of(engine, topology, fault, loss)
    for one in runs.values():
        made(one)
    outcome = train_all(runs, quiet=quiet, engine=made)
    results, aside = outcome.results, json_path == STDOUT
    if outcome.interrupted:
        if results:
            show(outcome_table(results.values()), errors=aside)
        show(f"interrupted: {outcome.interrupted}", errors=True)
        return INTERRUPTED
    if aside:
        show_json(as_json(spec, results))
    else:
        told = [verdict(*results.values())] if compare else []
        told += privacy_told(list(results.values())[-1])
        show(headline(spec), outcome_table(results.values()), *told, *parties_told(results.values()))
        if json_path:
            write_json(as_json(spec, results), json_path)
            show(f"Wrote {json_path}")
    if plot:
        show(*(f"Drew {path}" for path in draw(spec, results, plot)), errors=aside)
    return 0


def _versus(spec: Experiment) -> Versus:
    """Refuse to compare where nobody lies."""
    if not (spec.byzantine and spec.attack):
        raise ParameterError(
            "--versus compares under attack, and here nobody lies. "
            "Say who and how: --byzantine 4 --attack optimal, for instance."
        )
    return versus(spec)
