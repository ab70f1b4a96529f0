"""A sweep: every experiment once, whatever happens on the way."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from varangian.engines import Result, batches
from varangian.errors import DataError, RunError, VarangianError
from varangian.experiments.store import Store
from varangian.experiments.sweeps.crew import Crew, Event, Task, Worker, usable_cores
from varangian.experiments.sweeps.rehearse import rehearse
from varangian.experiments.sweeps.started import started
from varangian.experiments.sweeps.tally import Standing, Tally
from varangian.specification import Experiment, identity, to_toml

LARGEST = 100
"""Runs of a batch at most: it is what is lost between two checkpoints, and what one worker does at a time."""
PARTS = 10
"""Checkpoints of a run."""
DEATHS = 2
"""Workers that may die of a batch before its runs are done one by one: one may die of something else."""
TRIES = 3
"""Workers that may die of one batch before it began."""


@dataclass(frozen=True, eq=False)
class Failure:
    """A run that ended with an error, what it said, and where it arose."""

    experiment: Experiment
    error: str
    trace: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """How many runs a sweep has, how many of them were there before and are there now, and which failed."""

    runs: int
    already: int
    finished: int
    failures: list[Failure]
    interrupted: bool = False


def sweep(
    experiments: Sequence[Experiment],
    store: Store | str | Path = "store",
    *,
    jobs: int | None = None,
    watch: Callable[[Standing], None] | None = None,
) -> list[Result]:
    """Return the result of every experiment, each run once and kept in the store.

    What the store holds is not run again; what was interrupted continues. The work is done by ``jobs`` other
    processes (as many as there are usable cores, if not said), in batches that run in lockstep. Neither
    ``jobs`` nor any interruption changes a bit of a result.

    Raises      what ``carry_out`` raises; RunError if runs failed, when all others are finished

    >>> import tempfile
    >>> specs = [Experiment(workers=4, steps=3, model="logistic", seed=seed) for seed in (1, 2)]
    >>> [result.diverged for result in sweep(specs, tempfile.mkdtemp(), jobs=1)]
    [False, False]
    """
    store = store if isinstance(store, Store) else Store(store)
    outcome = carry_out(experiments, store, Crew(jobs or usable_cores()), watch=watch)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.failures:
        first = outcome.failures[0]
        raise RunError(
            f"{len(outcome.failures)} of {outcome.runs} runs failed; the others are in {store.path}. "
            f"The first is {first.experiment!r}: {first.error}"
        )
    return [store.read(experiment) for experiment in experiments]


def carry_out(
    experiments: Sequence[Experiment],
    store: Store,
    crew: Crew,
    *,
    watch: Callable[[Standing], None] | None = None,
    done: Callable[[Experiment], None] | None = None,
    every: int | None = None,
) -> Outcome:
    """Have a crew do what the store lacks; ``watch`` is told how far it is, ``done`` of every finished run.

    Every experiment is checked before anything runs. The state of a batch is written ``every`` so many steps
    (a tenth of a run, if not said), so that a sweep that was killed continues from there.

    Raises      ParameterError for an experiment that no file can hold, or whose data, model and split do not
                fit; DataError for data or a store that cannot be used; MissingExtraError without pyarrow
    """
    wanted = {identity(experiment): experiment for experiment in experiments}
    finished = {run for run, experiment in wanted.items() if store.find(experiment)}
    rehearse([experiment for run, experiment in wanted.items() if run not in finished])
    store.prepare()
    for run in finished:
        if done:
            done(wanted[run])
    driver = _Driver(store, wanted, crew, every, Tally(wanted, finished, watch), done)
    interrupted = False
    try:
        with crew:
            driver.drive()
    except KeyboardInterrupt:
        interrupted = True
    return Outcome(
        len(wanted), len(finished), len(driver.tally.finished), list(driver.failures.values()), interrupted
    )


@dataclass(eq=False)
class _Driver:
    """Hands tasks to a crew, and takes in what it tells."""

    store: Store
    wanted: dict[str, Experiment]
    crew: Crew
    every: int | None
    tally: Tally
    done: Callable[[Experiment], None] | None
    tasks: deque[Task] = field(default_factory=deque)
    failures: dict[str, Failure] = field(default_factory=dict)

    def drive(self) -> None:
        """Return when every wanted run is finished or has failed."""
        while missing := self._missing():
            self.tasks.extend(self._plan(missing))
            while self.tasks or self.crew.busy():
                while self.tasks and (worker := self.crew.idle()):
                    self._assign(worker, self.tasks.popleft())
                for worker, event in self.crew.events():
                    self._take_in(worker, event)

    def _missing(self) -> dict[str, Experiment]:
        for run in self.wanted:
            if run not in self.tally.finished and self.wanted[run] in self.store:
                self._finish(run)  # by another process
        over = {*self.tally.finished, *self.failures}
        return {run: experiment for run, experiment in self.wanted.items() if run not in over}

    def _plan(self, missing: dict[str, Experiment]) -> list[Task]:
        """Return what was begun and lacks one of these runs, then the rest in batches."""
        begun = {name: runs for name, runs in started(self.store).items() if missing.keys() & set(runs)}
        taken = {run for runs in begun.values() for run in runs}
        rest = [experiment for run, experiment in missing.items() if run not in taken]
        most = max(1, min(LARGEST, math.ceil(len(rest) / self.crew.jobs)))
        groups = [group[i : i + most] for group in batches(rest) for i in range(0, len(group), most)]
        return [self._task(batch=name) for name in begun] + [
            self._begin([rest[index] for index in group]) for group in groups
        ]

    def _begin(self, experiments: list[Experiment]) -> Task:
        longest = max(experiment.steps for experiment in experiments)
        every = self.every or math.ceil(longest / PARTS)
        return self._task(experiments=[to_toml(experiment) for experiment in experiments], every=every)

    def _task(self, **command: Any) -> Task:
        return Task({"store": str(self.store.path.absolute()), **command}, command.get("batch"))

    def _assign(self, worker: Worker, task: Task) -> None:
        worker.task = task
        worker.tell({**task.command, "wait": task.held})

    def _take_in(self, worker: Worker, event: Event | None) -> None:
        task = worker.task
        if event is None:
            self._mourn(worker, task)
            return
        match event["event"]:
            case "ready":
                worker.ready = True
            case "began" if task:
                task.batch = event["batch"]
            case "alone" if task:
                task.alone = event["run"]
            case "progress":
                self.tally.progress(worker, event["step"], event["runs"])
            case "wrote":
                self._finish(event["run"], worker)
            case "failed" if event["run"] in self.wanted:
                self._fail(event["run"], event["error"], event["trace"])
            case "elsewhere":
                known = {task.batch for task in self.tasks}
                self.tasks.extend(self._task(batch=name) for name in event["batches"] if name not in known)
            case "held" if task:
                task.held = True
                self.tasks.append(task)
            case "refused":
                raise DataError(event["error"])
            case "done":
                worker.task = None
                self.tally.rest(worker)

    def _finish(self, run: str, worker: Worker | None = None) -> None:
        if run in self.wanted and run not in self.tally.finished:
            self.tally.finish(run, worker)
            if self.done:
                self.done(self.wanted[run])

    def _fail(self, run: str, error: str, trace: str = "") -> None:
        self.failures[run] = Failure(self.wanted[run], error, trace)
        self.tally.fail(run)

    def _mourn(self, worker: Worker, task: Task | None) -> None:
        """Go on without a worker that died.

        Its batch goes on from its checkpoint, once; then run by run, without what a worker died of.
        """
        how = self.crew.bury(worker)
        self.tally.rest(worker)
        if not worker.ready:
            raise VarangianError(f"A worker could not start: {how}")
        if task is None:
            return
        task.deaths += 1
        if task.batch is None:
            if task.deaths >= TRIES:
                raise VarangianError(f"A worker cannot begin a batch: {how}")
            self.tasks.append(task)
            return
        if task.deaths < DEATHS and not task.command.get("apart"):
            self.tasks.append(Task({**self._task(batch=task.batch).command}, task.batch, deaths=task.deaths))
            return
        skip = list(task.command.get("skip", ()))
        if task.alone:
            skip.append(task.alone)
            if task.alone in self.wanted:
                self._fail(task.alone, how)
        self.tasks.append(self._task(batch=task.batch, apart=True, skip=skip))
