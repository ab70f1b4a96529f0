"""The pictures of a command: accuracy over the steps, and where the split is uneven, who holds what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from varangian.cli.runs import lying
from varangian.data import IID, class_counts, draw_split
from varangian.engines import Result
from varangian.engines.world import World
from varangian.experiments import draw_runs
from varangian.specification import Experiment


def pictures(spec: Experiment, path: Path) -> tuple[Path, ...]:
    """Return the paths that ``draw`` writes: NAME.png, and NAME-split.png where shards are not alike."""
    return (path,) if isinstance(spec.split, IID) else (path, path.with_stem(f"{path.stem}-split"))


def draw(spec: Experiment, results: Mapping[str, Result], path: Path) -> tuple[Path, ...]:
    """Draw the pictures and return their paths. Raises DataError, MissingExtraError."""
    runs, *split = pictures(spec, path)
    draw_runs(results, runs, f"{spec.data}, {lying(spec)}")
    for beside in split:
        world = World.of(spec)
        draw_split(class_counts(world.data.train_labels, world.shards, world.data.classes), beside)
    return (runs, *split)
