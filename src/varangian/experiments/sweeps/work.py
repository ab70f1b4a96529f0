"""The work on one batch: run it, write its results, and find the culprit if it fails."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varangian.engines import Progress, Result, simulate
from varangian.errors import DataError
from varangian.experiments.store.disk import KEPT
from varangian.experiments.sweeps.started import Batch
from varangian.specification import Experiment, identity

Tell = Callable[[dict[str, Any]], None]
"""Takes in what happens, as values that JSON has."""

OFTEN = 0.2
"""Seconds between two words on progress."""
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
"""Refusals that are the store's and not the run's."""


Engine = Callable[..., list[Result]]
"""What carries a batch out: ``varangian.engines.simulate``, here or elsewhere."""


@dataclass(frozen=True, eq=False)
class Work:
    """A batch, who hears of it, and what carries it out.

    A batch that fails is done again run by run; a run of ``skip`` is left out of that: it is known to fail.
    """

    batch: Batch
    tell: Tell
    engine: Engine = simulate
    skip: Collection[str] = ()

    def do(self) -> None:
        """Carry the batch out and write its results, telling of each run that was written or that failed.

        Raises      DataError where the store refuses; the batch then stays, to be resumed
        """
        batch = self.batch
        try:
            if batch.unfinished():
                if not batch.apart:
                    self._together()
                if batch.apart:
                    self._one_by_one()
        except BaseException:
            batch.leave()
            raise
        batch.close()

    def _together(self) -> None:
        """Run the batch in lockstep, finished runs included: only the whole list continues its checkpoint."""
        batch = self.batch
        try:
            results = self._simulate(batch.experiments, batch.checkpoint)
        except Exception as error:
            _refuse_if_disk(error, batch.folder)
            if isinstance(error, DataError) and batch.checkpoint.exists():
                batch.checkpoint.unlink()  # damaged, or of another version: begin the batch again
                self._together()
            else:
                batch.go_apart()
            return
        for result in results:
            self._write(result)

    def _one_by_one(self) -> None:
        for experiment in self.batch.unfinished():
            run, path = identity(experiment), self.batch.checkpoint_of(experiment)
            if run in self.skip:
                continue
            self.tell({"event": "alone", "run": run})
            try:
                (result,) = self._simulate([experiment], path)
            except Exception as error:
                _refuse_if_disk(error, self.batch.folder)
                said = "".join(traceback.format_exception_only(error)).strip()
                trace = "".join(traceback.format_exception(error))
                self.tell({"event": "failed", "run": run, "error": said, "trace": trace})
            else:
                self._write(result)
            path.unlink(missing_ok=True)

    def _simulate(self, experiments: Sequence[Experiment], checkpoint: Path) -> list[Result]:
        last = -OFTEN

        def watch(stand: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= OFTEN or stand.step == stand.steps:
                last = now
                self.tell({"event": "progress", "step": stand.step, "runs": len(experiments)})

        return self.engine(experiments, watch, checkpoint=checkpoint, every=self.batch.every)

    def _write(self, result: Result) -> None:
        if result.experiment not in self.batch.store:
            self.batch.store.write(result)
        self.tell({"event": "wrote", "run": identity(result.experiment)})


def _refuse_if_disk(error: BaseException, folder: Path) -> None:
    """Raise DataError where it was the disk that refused, on which no run can be blamed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in DISK and _within(cause.filename, folder):
            raise DataError(f"{folder} cannot be written: {cause.strerror or cause}. {KEPT}") from error
        cause = cause.__cause__ or cause.__context__


def _within(name: Any, folder: Path) -> bool:
    return name is None or str(name).startswith(str(folder))
