"""An attacker who writes down what it sees: the honest vectors of some steps, as they are sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from varangian.attacks import Attack, DataAttack, Sight
from varangian.attacks.attack import Scene
from varangian.audit.recording.rounds import Round
from varangian.engines import Progress
from varangian.errors import ParameterError
from varangian.experiments.run import run
from varangian.specification import Experiment

Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Recorder(Attack):
    """Send what another attack sends, and keep the honest vectors of the steps ``at``, counted from 0."""

    attack: Attack
    at: tuple[int, ...]
    kept: dict[int, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def sees(self) -> Sight:  # type: ignore[override]
        """Return what the other attack sees."""
        return self.attack.sees

    @property
    def randomised(self) -> bool:  # type: ignore[override]
        """Return whether the other attack draws random numbers."""
        return self.attack.randomised

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        """Return the other attack's vectors, and how many steps there were."""
        step, inner = scene.state or (0, None)
        if step in self.at:
            one_run = (0,) * (scene.honest.ndim - 2)
            self.kept[step] = scene.honest[one_run].detach().clone()
        forged, after = self.attack.vectors(replace(scene, state=inner))
        return forged, (step + 1, after)


def record(spec: Experiment, rounds: int, watch: Watch | None = None) -> list[Round]:
    """Return the honest vectors of some evenly spaced steps of an experiment under attack.

    Raises      ParameterError where nobody lies, or the liars only poison their data: no vectors are forged
    """
    if not spec.byzantine or spec.attack is None or isinstance(spec.attack, DataAttack):
        raise ParameterError("record() takes an experiment whose liars forge vectors.")
    count = min(rounds, spec.steps)
    at = tuple(sorted({round((i + 1) * spec.steps / count) - 1 for i in range(count)}))
    recorder = Recorder(spec.attack, at)
    run(replace(spec, attack=recorder), watch)
    clients = tuple(f"worker {i}" for i in range(spec.honest))
    return [Round.of(f"{step + 1}", vectors, clients) for step, vectors in sorted(recorder.kept.items())]
