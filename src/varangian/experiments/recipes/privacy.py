"""Differential privacy and Byzantine resilience: either alone is survived, both together are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from varangian.aggregators import Average, MinimumDiameterAveraging
from varangian.attacks import ALittleIsEnough, Attack, InnerProductManipulation
from varangian.core.citations import Reference
from varangian.core.papers import PRIVACY
from varangian.data import IID, Pooled
from varangian.experiments.figures.batches import draw_batches
from varangian.experiments.figures.groups import label
from varangian.experiments.recipes.recipe import Recipe, Scope
from varangian.experiments.recipes.report import Comparison, Line, Number, mean
from varangian.experiments.view import Run, last_accuracy
from varangian.privacy import Privacy, feasible
from varangian.specification import Experiment

WORKERS, LIARS, DELTA, NORM = 11, 5, 1e-6, 0.01
ATTACKS: tuple[Attack | None, ...] = (None, ALittleIsEnough(z=1.5), InnerProductManipulation(epsilon=0.1))
EPSILONS, BATCHES, SEEDS = (None, 0.1, 0.2, 0.5), (10, 25, 50, 100, 250, 500), 5
QUICK_EPSILONS, QUICK_BATCHES, QUICK_SEEDS = (None, 0.2), (25, 100, 500), 1
STEPS, EVERY = 1000, 50
PARAMETERS = 69
MIDDLE = 0.2
"""The epsilon of which the notes speak."""
EVALUATIONS = 5
"""So many of the last evaluations are averaged: momentum of .99 makes a single one swing."""
Setting = tuple[Attack | None, float | None, int]


@dataclass(frozen=True)
class PrivacyRecipe(Recipe):
    """Train a logistic regression on phishing sites, with noise, with liars, with both and with neither.

    Under attack, the last 5 of 11 workers lie and the server takes ``MinimumDiameterAveraging``. The baseline
    averages all 11 workers, who are honest then, as in the authors' code: it has more honest data than what
    it is compared with. Without privacy, the mean of a batch is clipped to the same norm. ``as_released``
    clips that mean where there is noise, too, which gives no privacy, and lets all workers draw from the same
    data.

    Reference   Guerraoui et al., PODC 2021
    """

    name: ClassVar[str] = "privacy"
    summary: ClassVar[str] = "noise for privacy, lies, and both at once: accuracy by batch size"
    reference: ClassVar[Reference] = PRIVACY
    quick: ClassVar[str] = (
        "18 runs: three batch sizes, without noise and with epsilon = 0.2, seed 1; about half a minute"
    )
    full: ClassVar[str] = "72 settings and 5 seeds: 360 runs; about 5 minutes"
    datasets: ClassVar[tuple[str, ...]] = ("phishing",)

    def settings(self, scope: Scope) -> list[Experiment]:
        """Return every run: by seed, batch size, epsilon and attack."""
        epsilons, batches, seeds = (
            (EPSILONS, BATCHES, SEEDS) if scope.full else (QUICK_EPSILONS, QUICK_BATCHES, QUICK_SEEDS)
        )
        return [
            setting(scope, attack, epsilon, batch, seed)
            for seed in range(1, (scope.seeds or seeds) + 1)
            for batch in batches
            for epsilon in epsilons
            for attack in ATTACKS
        ]

    def report(self, runs: Sequence[Run], scope: Scope) -> Comparison:
        """Return the accuracies of every setting, and what noise, lies and both cost by batch size.

        The paper shows curves and states no numbers, so there is none to stand beside ours.
        """
        epsilons, batches = (EPSILONS, BATCHES) if scope.full else (QUICK_EPSILONS, QUICK_BATCHES)
        accuracies = {
            (attack, epsilon, batch): _accuracy(runs, attack, epsilon, batch)
            for batch in batches
            for epsilon in epsilons
            for attack in ATTACKS
        }
        lines = [
            Line(f"b = {batch}, {_told(epsilon)}, {_named(attack)}", None, accuracy)
            for (attack, epsilon, batch), accuracy in accuracies.items()
        ]
        notes = [_costs(accuracies, batch) for batch in batches]
        notes += [_theorem(epsilon) for epsilon in epsilons if epsilon is not None]
        if scope.as_released:
            notes.append(
                "As released, the mean of a batch is clipped: epsilon names noise, and no guarantee."
            )
        else:
            notes.append("The curves of the paper were made by clipping the mean of a batch (as released).")
        title = "Test accuracy, mean of the last evaluations; phishing, 11 workers of which 5 lie"
        return Comparison(title, "%", tuple(lines), tuple(note for note in notes if note))

    def draw(self, runs: Sequence[Run], folder: Path) -> list[Path]:
        """Draw accuracy against batch size, a panel per attack and a line per epsilon."""
        return draw_batches(
            runs,
            folder / "privacy",
            line=lambda spec: _told(None if spec.privacy is None else spec.privacy.epsilon),
            title="Noise alone, lies alone, and both",
            evaluations=EVALUATIONS,
        )


def setting(
    scope: Scope, attack: Attack | None, epsilon: float | None, batch_size: int, seed: int
) -> Experiment:
    """Return one run; without an attack all 11 workers are honest and averaged.

    >>> setting(Scope(), None, 0.2, 50, seed=1).privacy
    Privacy(epsilon=0.2, norm=0.01)
    """
    clip = "batch" if scope.as_released else "sample"
    privacy = None if epsilon is None else Privacy(epsilon, NORM, DELTA, clip)
    return Experiment(
        data=scope.data or "phishing",
        data_dir=scope.data_dir,
        split=Pooled() if scope.as_released else IID(),
        model="logistic-sigmoid",
        loss="mse",
        workers=WORKERS,
        byzantine=0 if attack is None else LIARS,
        rule=Average() if attack is None else MinimumDiameterAveraging(f=LIARS),
        attack=attack,
        batch_size=batch_size,
        steps=scope.steps or STEPS,
        learning_rate=2.0,
        momentum=0.99,
        momentum_at="server",
        clip=NORM if privacy is None else None,
        privacy=privacy,
        evaluate_every=EVERY,
        seed=seed,
        device=scope.device,
    )


def _told(epsilon: float | None) -> str:
    return "no noise" if epsilon is None else f"epsilon = {epsilon:g}"


def _named(attack: Attack | None) -> str:
    return "no attack" if attack is None else label(attack)


def _accuracy(runs: Sequence[Run], attack: Attack | None, epsilon: float | None, batch: int) -> Number:
    """Return the accuracy of a setting over its seeds, in percent; NaN if it was not run."""
    held = [
        run
        for run in runs
        if (run.experiment.attack, run.experiment.batch_size) == (attack, batch)
        and (None if run.experiment.privacy is None else run.experiment.privacy.epsilon) == epsilon
    ]
    return mean(100 * last_accuracy(run, EVALUATIONS) for run in held)


def _costs(accuracies: Mapping[Setting, Number], batch: int) -> str:
    """Tell what noise, lies, and both cost at a batch size, under the attack that costs most."""

    def worst(epsilon: float | None) -> float:
        return min(accuracies[attack, epsilon, batch].value for attack in ATTACKS if attack is not None)

    calm = accuracies[None, None, batch].value
    noise, lies, both = accuracies[None, MIDDLE, batch].value, worst(None), worst(MIDDLE)
    if any(map(math.isnan, (calm, noise, lies, both))):
        return ""
    return (
        f"b = {batch}: noise alone (epsilon = {MIDDLE:g}) costs {calm - noise:.1f} points, "
        f"the worse attack alone {calm - lies:.1f}, both together {calm - both:.1f}."
    )


def _theorem(epsilon: float) -> str:
    """Tell from which batch size on the noise does not rule the server's theorem out."""
    rule, privacy = MinimumDiameterAveraging(f=LIARS), Privacy(epsilon, NORM, DELTA)
    least = feasible(rule, privacy, n=WORKERS, d=PARAMETERS, batch_size=1).smallest_batch
    return f"epsilon = {epsilon:g}: {rule!r} proves nothing below a batch of {least} (d = {PARAMETERS})."
