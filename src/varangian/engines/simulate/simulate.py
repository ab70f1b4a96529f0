"""The fast engine: all workers of all runs of a batch in one computation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from varangian.accounting import Accountant
from varangian.engines.loop import Progress
from varangian.engines.result import Result
from varangian.engines.simulate.batch import Batch
from varangian.engines.simulate.checkpoint import read_checkpoint, write_checkpoint
from varangian.kernels.lanes import lanes_instead_of_threads
from varangian.specification import Experiment

Watch = Callable[[Progress], None]


def simulate(
    specs: Sequence[Experiment],
    watch: Watch | None = None,
    *,
    checkpoint: Path | None = None,
    every: int = 0,
    accountants: Sequence[Accountant | None] | None = None,
) -> list[Result]:
    """Run one batch of experiments side by side, and return their results in order.

    Every run gives the numbers of the loop (``train``), to rounding: the same samples, noise and lies, since
    all are drawn from streams named by the run itself. With a ``checkpoint``, the state is written to that
    file every ``every`` steps, and a batch that was cut off goes on from there, to the same bits. ``watch``
    is told after every step, with the first run's numbers. A result's seconds are its share of the batch's.
    Each run's accountant, if it has one, is told what the rule takes and gives in every step made here.

    Raises      ParameterError for experiments of different shapes; DataError for a file that is no checkpoint
                of this batch, or cannot be written; what the rules and the attacks raise
    """
    batch = Batch(specs, accountants)
    resumed = checkpoint is not None and checkpoint.exists()
    state = read_checkpoint(checkpoint, batch) if checkpoint is not None and resumed else batch.start()
    begun = time.perf_counter() - state.seconds
    with lanes_instead_of_threads():
        while state.step < batch.steps:
            state = replace(batch.advance(state), seconds=time.perf_counter() - begun)
            if checkpoint is not None and every and state.step % every == 0:
                write_checkpoint(checkpoint, batch, state)
            if watch is not None:
                row = state.history.row(state.step - 1, batch.order.index(0))
                watch(Progress(state.step, batch.steps, state.seconds, row))
    share = state.seconds / len(specs)
    results = {
        place: Result(specs[place], state.history.table(run), state.theta[run].clone(), share)
        for run, place in enumerate(batch.order)
    }
    return [results[place] for place in range(len(specs))]
