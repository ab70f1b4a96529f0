"""What a party measures of its own steps, and keeps for the day it is started again."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from varangian.engines.loop import Progress
from varangian.engines.multiparty.checkpoint import Checkpoint, Saved
from varangian.engines.world import World
from varangian.metrics import Table
from varangian.optim import rate_at
from varangian.protocols import Body, Node, Stands, Topic


class Record:
    """A row for each step of a node, and a checkpoint now and then.

    ``look`` is called after each call of the node, before what it says leaves: so does a checkpoint, and
    whoever is started again from it says the same once more, and never another thing. Between two
    checkpoints, what is said in mid-step is added to the last.
    """

    def __init__(
        self,
        node: Node,
        world: World,
        checkpoint: Checkpoint | None,
        every: int,
        watch: Callable[[Progress], None],
    ) -> None:
        self.node, self.world, self.checkpoint, self.every, self.watch = node, world, checkpoint, every, watch
        self.table, self.begun, self.told = Table(), time.perf_counter(), 0
        self.kept: Stands | None = None
        self._said: set[tuple[int, Topic]] = set()
        self.first = world.flat.get()

    def resume(self) -> bool:
        """Go back to the last checkpoint, and tell whether there is one. Raises DataError."""
        saved = None if self.checkpoint is None else self.checkpoint.read()
        if saved is None:
            return False
        self.node.restore(saved.state)
        self.node.recall(saved.said)
        self.table = Table.of(saved.columns)
        if self.table:
            self.told = int(self.row["step"])
            self.begun -= self.row["seconds"]
        return True

    def look(self) -> None:
        """Add a row if the node has made a step, which after the last one it has when it has finished."""
        node, steps = self.node, self.world.spec.steps
        step = min(node.step, steps)
        stepped = step > self.told and (step < steps or node.finished)
        if stepped:
            self.told = step
            self.table.append(self._row())
        self._keep_up(node.stands)
        if stepped:
            self.watch(Progress(step, steps, time.perf_counter() - self.begun, self.row))

    @property
    def row(self) -> dict[str, float]:
        """Return what was measured last."""
        return {name: column[-1] for name, column in self.table.items()}

    def keep(self) -> None:
        """Write a checkpoint. Raises DataError."""
        if self.checkpoint is not None:
            self.kept, said = self.node.stands, self.node.said()
            self.checkpoint.write(Saved(self.node.state(), said, self.table))
            self._said = {(word.receiver, word.topic) for word in said}

    def _keep_up(self, stands: Stands) -> None:
        """Keep what is new: all of it, or words alone where the rest may stay."""
        kept = self.kept
        if kept is None or stands.step >= kept.step + self.every or stands[1:3] != kept[1:3]:
            self.keep()
        elif stands.words != kept.words and self.checkpoint is not None:
            said = [word for word in self.node.said() if (word.receiver, word.topic) not in self._said]
            self.checkpoint.add(said, kept.step)
            self._said |= {(word.receiver, word.topic) for word in said}
            self.kept = kept._replace(words=stands.words)

    def _row(self) -> dict[str, float]:
        spec, step = self.world.spec, self.told
        row = {"step": float(step), "seconds": time.perf_counter() - self.begun}
        loss, theta = getattr(getattr(self.node, "learner", None), "loss", None), theta_of(self.node)
        if loss is not None:
            row["loss"] = loss
        if theta is not None:
            parameters = torch.tensor(theta)
            row["learning_rate"] = rate_at(spec.learning_rate, step - 1)
            row["distance"] = float((parameters - self.first).norm())
            if step == spec.steps or step % spec.evaluate_every == 0:
                row["accuracy"] = self.world.accuracy(parameters)
        return row


def theta_of(node: Node) -> Body | None:
    """Return the parameters of a node that holds any."""
    keeper = getattr(node, "keeper", None)
    return None if keeper is None else keeper.theta
