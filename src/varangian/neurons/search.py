"""The worst set of neurons to crash: a search that is exact on small networks, and a lower bound on any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.core.values import Value
from varangian.errors import ParameterError, UnknownNameError
from varangian.neurons.changes import Affine, Drawn
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.faults import Crash
from varangian.neurons.harmed import Errors
from varangian.neurons.measure import check_labels
from varangian.neurons.moments import moves

OBJECTIVES = ("largest", "typical", "loss", "accuracy")
STARTS = 8
"""So many sets are improved, the best of all that the derivatives propose."""
SWEEPS = 20
MOST_TRIED = 200_000
MOST_LIKELY = 256
"""Of larger layers, so many neurons take part in exchanges: those that move an output most."""


@dataclass(frozen=True)
class Worst(Value):
    """The worst crashes found: per layer, the places of the neurons (from 0), and what they do.

    ``error`` is what was searched for; an accuracy is counted as what is lost of it.
    """

    neurons: tuple[tuple[int, ...], ...]
    error: float
    tried: int


def worst_crash(
    evaluation: Evaluation,
    counts: int | Sequence[int],
    *,
    objective: str = "largest",
    labels: Tensor | None = None,
    loss: str = "nll",
    starts: int = STARTS,
    sweeps: int = SWEEPS,
    most: int = MOST_TRIED,
) -> Worst:
    """Return the worst set found of so many neurons of each layer, by the error that crashing them makes.

    Derivatives propose sets for each output, up and down, and each of the inputs; the best few are improved,
    a neuron at a time, until no exchange of one for another in its layer makes them worse.

    ``objective`` is ``largest``, the largest error of an output on any input; ``typical``, its mean over the
    inputs; ``loss``; or ``accuracy``, what is lost of it.

    Cost        N evaluations for each neuron of the set and each sweep; no exchange after ``most`` of them
    Raises      ParameterError, UnknownNameError, InputError
    """
    if objective not in OBJECTIVES:
        raise UnknownNameError("objective of a search", objective, OBJECTIVES)
    if labels is None and objective in ("loss", "accuracy"):
        raise ParameterError(f"The objective {objective!r} needs labels.")
    check_labels(evaluation, labels)
    sizes = [layer.neurons for layer in evaluation.network.hidden]
    fault = Crash(count=counts if isinstance(counts, int) else tuple(counts))
    search = _Search(evaluation, sizes, objective, labels, loss)
    return search.run(fault.counts(sizes), starts, sweeps, most)


class _Search:
    """Sets are rows of zeros and ones over the neurons of all layers, one after the other."""

    def __init__(
        self, evaluation: Evaluation, sizes: list[int], objective: str, labels: Tensor | None, loss: str
    ) -> None:
        self.evaluation, self.sizes, self.objective = evaluation, sizes, objective
        self.labels, self.loss = labels, loss
        self.layer = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        self.likely = torch.ones(len(self.layer), dtype=torch.bool)
        self.tried = 0

    def run(self, counts: tuple[int, ...], starts: int, sweeps: int, most: int) -> Worst:
        sets = self.proposed(counts).unique(dim=0)
        scores = self.scores(sets)
        best, error = sets[0], scores[0]
        for start in scores.argsort(descending=True)[:starts]:
            found, score = self.improved(sets[start], scores[start], sweeps, most)
            if score > error:
                best, error = found, score
        places = tuple(tuple(part.nonzero().flatten().tolist()) for part in best.split(self.sizes))
        return Worst(places, float(error), self.tried)

    def proposed(self, counts: tuple[int, ...]) -> Bool[Tensor, "sets n"]:
        """Return, for each output and sign, the neurons that move it most: on each input, and on all."""
        ranked: list[Tensor | None] = []
        for layer, count in zip(self.evaluation.network.hidden, counts, strict=True):
            if not count:
                ranked.append(None)
                continue
            sent = self.evaluation.values[layer.site + 1].detach().requires_grad_(True)
            moved = moves(self.evaluation.network.modules[layer.site + 1 :], sent)
            if layer.neurons > MOST_LIKELY:
                least = moved.abs().amax((0, 1)).topk(MOST_LIKELY).values[-1]
                self.likely[self.layer == layer.number - 1] = moved.abs().amax((0, 1)) >= least
            moved = torch.cat([moved.flatten(0, 1), moved.mean(0), moved.abs().mean((0, 1))[None]])
            ranked.append(torch.cat([moved, -moved]).topk(count, dim=1).indices)
        rows = next((len(one) for one in ranked if one is not None), 1)
        parts = [
            torch.zeros(rows, size) if one is None else torch.zeros(rows, size).scatter_(1, one, 1.0)
            for one, size in zip(ranked, self.sizes, strict=True)
        ]
        return torch.cat(parts, dim=1).bool()

    def improved(
        self, chosen: Bool[Tensor, " n"], score: Tensor, sweeps: int, most: int
    ) -> tuple[Tensor, Tensor]:
        """Return the set after exchanges, of which each is the best of all for one of its neurons."""
        for _ in range(sweeps):
            before = score
            for neuron in chosen.nonzero().flatten().tolist():
                if not chosen[neuron] or self.tried >= most:
                    continue
                others = (self.likely & (self.layer == self.layer[neuron]) & ~chosen).nonzero().flatten()
                if not len(others):
                    continue
                sets = chosen.repeat(len(others), 1)
                sets[:, neuron] = False
                sets[torch.arange(len(others)), others] = True
                scores = self.scores(sets)
                if scores.max() > score:
                    chosen, score = sets[scores.argmax()], scores.max()
            if score <= before:
                break
        return chosen, score

    def scores(self, sets: Bool[Tensor, "sets n"]) -> Float[Tensor, " sets"]:
        """Return how bad each set is."""
        self.tried += len(sets)
        found = [self._scores(some) for some in sets.split(self.evaluation.room())]
        return torch.cat(found)

    def _scores(self, sets: Tensor) -> Tensor:
        dtype = self.evaluation.outputs.dtype
        changes = {
            number: Affine((~part).to(dtype))
            for number, part in enumerate(sets.split(self.sizes, dim=1), 1)
            if bool(part.any())
        }
        faulty = self.evaluation.faulty(Drawn(len(sets), changes))
        errors = Errors.of(faulty, self.evaluation.outputs, self.labels, self.loss)
        if self.objective == "accuracy":
            return torch.ones(()) - errors.accuracy  # type: ignore[operator]
        return getattr(errors, self.objective).double()  # type: ignore[no-any-return]
